-- Forget a mailbox, or only its messages, and log it; false when the epoch is no longer the one that may write.
-- A client whose connection broke sends it again: the second time it does nothing.
-- KEYS: live marks, mailbox records, order, states, entries, unseen, event stream
-- ARGV: epoch, path, field of the mark, record that stays or "", events to keep at most, field and id of this writing,
--       field, value, ... of the event
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return false end
if redis.call('HGET', KEYS[1], ARGV[6]) == ARGV[7] then return 1 end
redis.call('HSET', KEYS[1], ARGV[6], ARGV[7])
redis.call('HDEL', KEYS[1], ARGV[3])
redis.call('DEL', KEYS[3], KEYS[4], KEYS[5], KEYS[6])
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[2], ARGV[2])
else
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
end
if #ARGV > 7 then redis.call('XADD', KEYS[7], 'MAXLEN', '~', ARGV[5], '*', unpack(ARGV, 8)) end
return 1
