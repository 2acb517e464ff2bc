-- Make an epoch the one that may write; -1 when the account is gone, 0 when a later one was there before.
-- KEYS: account record, live marks
-- ARGV: epoch
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
local current = redis.call('HGET', KEYS[2], 'epoch')
if current and tonumber(current) > tonumber(ARGV[1]) then return 0 end
if current ~= ARGV[1] then
  -- What the one before had confirmed is confirmed no more.
  local dirty = redis.call('HGET', KEYS[2], 'dirty')
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], 'epoch', ARGV[1], 'dirty', dirty or 0)
end
return 1
