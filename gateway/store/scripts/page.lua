-- Read one page of a mailbox, newest first: the mark, the account's state, the number of messages, the entries with
-- commas between them (false when one is not held), how many messages lie above, how many these are, and the positions
-- of the first and the last of them. Without a mark nothing else is read.
-- KEYS: live marks, order (of all messages, or of those looked for), entries, account record
-- ARGV: field of the mark, "from" and the number of messages to leave out, or "below" or "above" and a position,
--       number of messages
local mark = redis.call('HGET', KEYS[1], ARGV[1])
if not mark then return { false } end
local size, ids, first = tonumber(ARGV[4]), nil, nil
local total = redis.call('ZCARD', KEYS[2])
if ARGV[2] == 'from' then
  first = math.min(tonumber(ARGV[3]), total)
  ids = redis.call('ZREVRANGE', KEYS[2], ARGV[3], ARGV[3] + size - 1)
elseif ARGV[2] == 'below' then
  first = redis.call('ZCOUNT', KEYS[2], ARGV[3], '+inf')
  ids = redis.call('ZREVRANGE', KEYS[2], first, first + size - 1)
else
  local last = redis.call('ZCOUNT', KEYS[2], '(' .. ARGV[3], '+inf')
  first = math.max(0, last - size)
  ids = last > 0 and redis.call('ZREVRANGE', KEYS[2], first, last - 1) or {}
end
local entries = #ids > 0 and redis.call('HMGET', KEYS[3], unpack(ids)) or {}
for _, entry in ipairs(entries) do
  if not entry then return { mark, false } end
end
local found = { mark, redis.call('HGET', KEYS[4], 'state'), total, table.concat(entries, ','), first, #ids }
if #ids > 0 then
  found[7] = redis.call('ZSCORE', KEYS[2], ids[1])
  found[8] = redis.call('ZSCORE', KEYS[2], ids[#ids])
end
return found
