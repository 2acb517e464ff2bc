-- Write a job and put it at the end of a queue: that of the worker that owns the account, else that of all workers.
-- 0 when the job is there already.
-- KEYS: job, queue of all workers, set of queues, failed registry, owners of accounts
-- ARGV: job id, ttl, "1" if the id is never used again, account or "", prefix of workers' signs of life,
--       name of the queue, field, value, ...
local status = redis.call('HGET', KEYS[1], 'status')
if status then
  if ARGV[3] == '1' or status == 'queued' or status == 'started' then return 0 end
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[4], ARGV[1])
end
local suffix = ''
if ARGV[4] ~= '' then
  local owner = redis.call('HGET', KEYS[5], ARGV[4])
  local worker = owner and string.match(owner, '^%S+')
  -- One that is about to stop says "0": it fetches no more.
  if worker and redis.call('GET', ARGV[5] .. worker) == '1' then suffix = '-' .. worker end
end
local queue = KEYS[2] .. suffix
redis.call('SADD', KEYS[3], queue)
redis.call('HSET', KEYS[1], unpack(ARGV, 7))
redis.call('HSET', KEYS[1], 'origin', ARGV[6] .. suffix)
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('RPUSH', queue, ARGV[1])
return 1
