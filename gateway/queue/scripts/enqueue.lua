-- Write a job and put it at the end of its queue; 0 when the job is there already.
-- KEYS: job, queue, set of queues, failed registry
-- ARGV: job id, ttl, "1" if the id is never used again, field, value, ...
local status = redis.call('HGET', KEYS[1], 'status')
if status then
  if ARGV[3] == '1' or status == 'queued' or status == 'started' then return 0 end
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[4], ARGV[1])
end
redis.call('SADD', KEYS[3], KEYS[2])
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('RPUSH', KEYS[2], ARGV[1])
return 1
