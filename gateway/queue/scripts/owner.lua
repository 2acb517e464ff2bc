-- Who owns an account, and since which epoch; false for nobody who lives.
-- ARGV: ..., account
local worker, epoch = owner_of(ARGV[3])
if not worker or not alive(worker) then return false end
return { worker, epoch }
