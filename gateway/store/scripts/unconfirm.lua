-- Take the mark off one mailbox, unless another owner has come: the mark is that one's then.
-- KEYS: live marks
-- ARGV: epoch, field of the mark
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[2])
