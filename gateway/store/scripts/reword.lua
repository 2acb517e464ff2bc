-- Put another entry in the place of one that is as it was read; 0 when it is not any more, false when the epoch is no
-- longer the one that may write.
-- KEYS: live marks, entries
-- ARGV: epoch, id, entry as it was read, entry
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return false end
local held = redis.call('HGET', KEYS[2], ARGV[2])
if held == ARGV[3] then redis.call('HSET', KEYS[2], ARGV[2], ARGV[4]) end
return (held == ARGV[3] or held == ARGV[4]) and 1 or 0
