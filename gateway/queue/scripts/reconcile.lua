-- Put right what a lost key or a lost answer has left behind. Returns how many accounts became free, and how many
-- owners of deleted accounts were struck out.
-- ARGV: ..., prefix of the names of workers' own queues, ...
local free, struck, dead = 0, 0, {}
local names = redis.call('HGETALL', OWNERS)
local owners = {}
for position = 1, #names, 2 do
  local account, worker = names[position], string.match(names[position + 1], '^%S+')
  owners[account] = worker
  if not exists(account) then
    strike(account, worker)
    struck = struck + 1
  else
    redis.call('SADD', owned(worker), account)
    redis.call('SREM', UNOWNED, account)
    if not alive(worker) then dead[worker] = true end
  end
end
for _, account in ipairs(redis.call('HKEYS', ACCOUNTS)) do
  if not owners[account] then free = free + redis.call('SADD', UNOWNED, account) end
end
for _, account in ipairs(redis.call('SMEMBERS', UNOWNED)) do
  if not exists(account) then redis.call('SREM', UNOWNED, account) end
end
for _, queue in ipairs(redis.call('SMEMBERS', QUEUES)) do
  for position = 3, #ARGV do
    local prefix = ARGV[position]
    if string.sub(queue, 1, #prefix) == prefix then
      local worker = string.sub(queue, #prefix + 1)
      if not alive(worker) then dead[worker] = true end
    end
  end
end
-- The reaper looks after workers on this list, in the right order: jobs first, then accounts.
for worker in pairs(dead) do redis.call('SADD', WORKERS, worker) end
return { free, struck }
