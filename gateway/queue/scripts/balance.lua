-- Compare what a worker believes to own with what it owns, and let it adopt accounts up to its fair share.
-- Returns the accounts it has lost, those it has gained with their epochs, and how many it should release;
-- false when the worker is not at work.
-- ARGV: ..., worker, accounts to adopt at most, {account: epoch} as MessagePack (0: its claim is under way)
local worker, limit, known = ARGV[3], tonumber(ARGV[4]), cmsgpack.unpack(ARGV[5])
if not working(worker) then return false end
local mine, lost, gained = owned(worker), {}, {}

local function gain(account)
  local epoch = take(account, worker)
  if epoch ~= 0 then
    gained[#gained + 1] = account
    gained[#gained + 1] = epoch
  end
end

local valid, count = {}, 0
for account, epoch in pairs(known) do
  if epoch ~= 0 and redis.call('HGET', OWNERS, account) == worker .. ' ' .. string.format('%.0f', epoch) then
    valid[account], count = true, count + 1
  elseif epoch ~= 0 then
    lost[#lost + 1] = account
    if redis.call('HGET', OWNERS, account) then
      known[account] = nil
    else
      -- It may have been deleted and created again since: then nobody else knows that it is free.
      gain(account)
      known[account] = 0
    end
  end
end
if redis.call('SCARD', mine) < count then
  for account in pairs(valid) do redis.call('SADD', mine, account) end
end
-- Its predecessor of the same name had the others, or the answer to a claim was lost.
for _, account in ipairs(redis.call('SMEMBERS', mine)) do
  if not valid[account] then
    if owner_of(account) ~= worker then
      redis.call('SREM', mine, account)
    elseif not known[account] then
      gain(account)
    end
  end
end

local workers, accounts = {}, redis.call('HLEN', ACCOUNTS)
for _, name in ipairs(redis.call('SMEMBERS', WORKERS)) do
  if working(name) then workers[#workers + 1] = name end
end
local many = math.max(1, #workers)
local share, least = math.ceil(accounts / many), math.floor(accounts / many)
local room = math.min(limit, share - redis.call('SCARD', mine))
if room > 0 then
  for _, account in ipairs(redis.call('SPOP', UNOWNED, room)) do gain(account) end
end

-- Accounts that others miss, beyond those that are free already.
local missing, poorest = -redis.call('SCARD', UNOWNED), least
for _, name in ipairs(workers) do
  local size = redis.call('SCARD', owned(name))
  missing = missing + math.max(0, least - size)
  poorest = math.min(poorest, size)
end
local size, surplus = redis.call('SCARD', mine), 0
-- Small differences stay: each move costs a connection.
if size > 1.2 * share or poorest * 1.2 < least then
  surplus = math.max(0, math.min(size - share, missing, math.ceil(size / 10)))
end
return { lost, gained, surplus }
