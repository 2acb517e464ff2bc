-- Note Message-IDs, and return of each whether it was not there before.
-- KEYS: HyperLogLog
-- ARGV: Message-IDs
local found = {}
for at, message in ipairs(ARGV) do found[at] = redis.call('PFADD', KEYS[1], message) end
return found
