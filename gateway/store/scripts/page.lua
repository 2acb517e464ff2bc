-- Read one page of a mailbox, newest first: the mark, the account's state, the number of messages, the entries with
-- commas between them (false when one is not held). Without a mark nothing else is read.
-- KEYS: live marks, order (of all messages, or of those looked for), entries, account record
-- ARGV: field of the mark, first, last
local mark = redis.call('HGET', KEYS[1], ARGV[1])
if not mark then return { false } end
local ids = redis.call('ZREVRANGE', KEYS[2], ARGV[2], ARGV[3])
local entries = #ids > 0 and redis.call('HMGET', KEYS[3], unpack(ids)) or {}
for _, entry in ipairs(entries) do
  if not entry then return { mark, false, 0, false } end
end
return { mark, redis.call('HGET', KEYS[4], 'state'), redis.call('ZCARD', KEYS[2]), table.concat(entries, ',') }
