-- Mark a mailbox as live, unless something was changed by our own hand since the count was read, or another owner came.
-- KEYS: live marks
-- ARGV: epoch, count of own changes, field of the mark, mark
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return -1 end
if (redis.call('HGET', KEYS[1], 'dirty') or '0') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
return 1
