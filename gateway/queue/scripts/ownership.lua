-- What the scripts of ownership share; it stands in front of each of them.
-- KEYS: owners of accounts, accounts without an owner, accounts, last epoch, workers, queues
-- ARGV: prefix of workers' signs of life, prefix of the sets of owned accounts, ...
local OWNERS, UNOWNED, ACCOUNTS, EPOCH, WORKERS, QUEUES = unpack(KEYS)

local function alive(worker) return redis.call('EXISTS', ARGV[1] .. worker) == 1 end

-- A worker that is about to stop lives, but takes nothing more.
local function working(worker) return redis.call('GET', ARGV[1] .. worker) == '1' end

local function owned(worker) return ARGV[2] .. worker end

local function owner_of(account)
  local owner = redis.call('HGET', OWNERS, account)
  if owner then return string.match(owner, '^(%S+) (%d+)$') end
end

local function exists(account) return redis.call('HEXISTS', ACCOUNTS, account) == 1 end

local function strike(account, worker)
  redis.call('HDEL', OWNERS, account)
  redis.call('SREM', owned(worker), account)
end

-- Epochs follow the clock, in microseconds: should Redis lose the last ones, the next are higher all the same.
local function next_epoch()
  local time = redis.call('TIME')
  local epoch = math.max(redis.call('INCR', EPOCH), time[1] * 1000000 + time[2])
  redis.call('SET', EPOCH, string.format('%.0f', epoch))
  return epoch
end

-- Give an account to a worker that works; 0 when there is no such account, or another living worker owns it.
local function take(account, worker)
  redis.call('SREM', UNOWNED, account)
  local owner = owner_of(account)
  if not exists(account) then
    if owner then strike(account, owner) end
    return 0
  end
  if owner and owner ~= worker then
    if alive(owner) then return 0 end
    redis.call('SREM', owned(owner), account)
  end
  local epoch = next_epoch()
  redis.call('HSET', OWNERS, account, worker .. ' ' .. string.format('%.0f', epoch))
  redis.call('SADD', owned(worker), account)
  return epoch
end

local function set_free(account, worker)
  if owner_of(account) ~= worker then return 0 end
  strike(account, worker)
  if exists(account) then redis.call('SADD', UNOWNED, account) end
  return 1
end
