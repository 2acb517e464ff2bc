-- Leave no trace of an account that was deleted.
-- ARGV: ..., account
local worker = owner_of(ARGV[3])
if worker then strike(ARGV[3], worker) end
redis.call('HDEL', OWNERS, ARGV[3])
redis.call('SREM', UNOWNED, ARGV[3])
return 1
