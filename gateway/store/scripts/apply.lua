-- Take in what happened in one mailbox, and log it; false when the epoch is no longer the one that may write.
-- A client whose connection broke sends it again: the second time it does nothing.
-- KEYS: live marks, mailbox records, order, states, entries, unseen, starts, event stream
-- ARGV: epoch, path, mailbox record or "", events to keep at most, field and id of this writing,
--       entries to hold at most,
--       number of finished batches, of messages, of removed, of events,
--       mark of each batch; id, position, state, entry or "", "1" if unseen of each message; id of each removed;
--       number of fields, field, value, ... of each event
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return false end
if redis.call('HGET', KEYS[1], ARGV[5]) == ARGV[6] then return 1 end
redis.call('HSET', KEYS[1], ARGV[5], ARGV[6])
local batches, messages, removed, events = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local at = 12
for _ = 1, batches do
  redis.call('HDEL', KEYS[7], ARGV[at])
  at = at + 1
end
for _ = 1, messages do
  redis.call('ZADD', KEYS[3], ARGV[at + 1], ARGV[at])
  redis.call('HSET', KEYS[4], ARGV[at], ARGV[at + 2])
  if ARGV[at + 3] ~= '' then redis.call('HSET', KEYS[5], ARGV[at], ARGV[at + 3]) end
  if ARGV[at + 4] == '1' then
    redis.call('ZADD', KEYS[6], ARGV[at + 1], ARGV[at])
  else
    redis.call('ZREM', KEYS[6], ARGV[at])
  end
  at = at + 5
end
-- As many entries of old messages go as may have come.
if messages > 0 then
  local old = redis.call('ZREVRANGE', KEYS[3], ARGV[7], ARGV[7] + messages - 1)
  if #old > 0 then redis.call('HDEL', KEYS[5], unpack(old)) end
end
for _ = 1, removed do
  redis.call('ZREM', KEYS[3], ARGV[at])
  redis.call('HDEL', KEYS[4], ARGV[at])
  redis.call('HDEL', KEYS[5], ARGV[at])
  redis.call('ZREM', KEYS[6], ARGV[at])
  at = at + 1
end
for _ = 1, events do
  local fields = tonumber(ARGV[at])
  redis.call('XADD', KEYS[8], 'MAXLEN', '~', ARGV[4], '*', unpack(ARGV, at + 1, at + fields))
  at = at + fields + 1
end
if ARGV[3] ~= '' then redis.call('HSET', KEYS[2], ARGV[2], ARGV[3]) end
return 1
