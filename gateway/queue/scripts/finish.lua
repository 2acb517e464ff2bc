-- Record a result and tell the caller; 0 when the execution is no longer this worker's.
-- KEYS: job, execution, executions of the job, started registry, executions of the worker, finished registry,
--       results of the job, worker
-- ARGV: job id, execution id, worker, time as text, Unix time, Unix time of the start, ttl, result in base64,
--       channel of the caller or "", message to the caller
local id, execution, now, ttl = ARGV[1], ARGV[2], tonumber(ARGV[5]), tonumber(ARGV[7])
local member = id .. ':' .. execution
if redis.call('SREM', KEYS[5], member) == 0 then return 0 end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[3], execution)
redis.call('ZREM', KEYS[4], member)
redis.call('HSET', KEYS[1], 'status', 'finished', 'ended_at', ARGV[4], 'last_heartbeat', ARGV[4])
redis.call('EXPIRE', KEYS[1], ttl)
redis.call('XADD', KEYS[7], 'MAXLEN', '~', 10, '*', 'type', 1, 'worker_name', ARGV[3], 'return_value', ARGV[8],
  'execution_id', execution, 'execution_started_at', ARGV[6], 'execution_ended_at', ARGV[5])
redis.call('EXPIRE', KEYS[7], ttl)
redis.call('ZADD', KEYS[6], math.floor(now + ttl), id)
if redis.call('EXISTS', KEYS[8]) == 1 then
  redis.call('HINCRBY', KEYS[8], 'successful_job_count', 1)
  redis.call('HINCRBYFLOAT', KEYS[8], 'total_working_time', now - tonumber(ARGV[6]))
end
if ARGV[9] ~= '' then redis.call('PUBLISH', ARGV[9], ARGV[10]) end
return 1
