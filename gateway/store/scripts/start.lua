-- Count a start of work on a batch of messages; false when the epoch is no longer the one that may write.
-- KEYS: live marks, starts
-- ARGV: epoch, mark of the batch, starts that count already when this is the first
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return false end
redis.call('HSETNX', KEYS[2], ARGV[2], ARGV[3])
return redis.call('HINCRBY', KEYS[2], ARGV[2], 1)
