-- Move the jobs that wait for a worker to the front of the queues of all workers, in their order; false when the
-- worker is at work.
-- ARGV: ..., worker, prefix of jobs, then of each lane: queue of all workers, its name, the worker's own queue, list of
--       the jobs that the worker took while it waited
if working(ARGV[3]) then return false end
local count = 0
for lane = 5, #ARGV, 4 do
  local shared, name, own, taken = unpack(ARGV, lane, lane + 3)
  for _, source in ipairs({ own, taken }) do
    while true do
      local id = redis.call('LMOVE', source, shared, 'RIGHT', 'LEFT')
      if not id then break end
      local job = ARGV[4] .. id
      if redis.call('EXISTS', job) == 1 then redis.call('HSET', job, 'origin', name) end
      redis.call('SADD', QUEUES, shared)
      count = count + 1
    end
  end
  redis.call('SREM', QUEUES, own)
end
return count
