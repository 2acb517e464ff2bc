-- Give up every account of a worker; false when the worker is at work.
-- ARGV: ..., worker
if working(ARGV[3]) then return false end
local count = 0
for _, account in ipairs(redis.call('SMEMBERS', owned(ARGV[3]))) do count = count + set_free(account, ARGV[3]) end
redis.call('DEL', owned(ARGV[3]))
return count
