-- Take jobs from queues and mark them started, in one step: a worker that dies leaves no job between two places.
-- From here on a job belongs to the queue of all workers, whichever it waited in: one worker's own ends with it.
-- False when the worker was declared dead: nobody would recover what it starts. 0 when the queue is paused.
-- KEYS: sign of life of the worker, jobs it took while it waited, started registry, executions of the worker,
--       names of the paused queues, queue, further queues
-- ARGV: key prefix, number of jobs, worker, time as text, Unix time, seconds an execution lives without a sign,
--       random text, seconds the worker's set of executions lives, name of the queue of all workers
local prefix, worker, stamp, now, ttl = ARGV[1], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
if redis.call('SISMEMBER', KEYS[5], ARGV[9]) == 1 then return 0 end
local jobs = {}
while #jobs < tonumber(ARGV[2]) do
  local id = redis.call('LPOP', KEYS[2])
  for queue = 6, #KEYS do id = id or redis.call('LPOP', KEYS[queue]) end
  if not id then break end
  local job = prefix .. ':job:' .. id
  local found = redis.call('HMGET', job, 'data', 'timeout', 'result_ttl', 'meta')
  if found[1] then
    local execution = ARGV[7] .. string.format('%04x', #jobs)
    local member = id .. ':' .. execution
    redis.call('HSET', job, 'status', 'started', 'started_at', stamp, 'last_heartbeat', stamp, 'worker_name', worker,
      'origin', ARGV[9])
    local starts = redis.call('HINCRBY', job, 'starts', 1)
    redis.call('PERSIST', job)
    local key = prefix .. ':execution:' .. member
    redis.call('HSET', key, 'id', execution, 'job_id', id, 'created_at', ARGV[5], 'last_heartbeat', ARGV[5],
      'worker_name', worker)
    redis.call('EXPIRE', key, ttl)
    local executions = prefix .. ':executions:' .. id
    redis.call('ZADD', executions, now + ttl + 60, execution)
    redis.call('EXPIRE', executions, ttl + 60)
    redis.call('ZADD', KEYS[3], math.floor(now + ttl), member)
    redis.call('SADD', KEYS[4], member)
    jobs[#jobs + 1] = { id, execution, found[1], found[2] or '', found[3] or '', found[4] or '', starts }
  end
end
if #jobs > 0 then redis.call('EXPIRE', KEYS[4], ARGV[8]) end
return jobs
