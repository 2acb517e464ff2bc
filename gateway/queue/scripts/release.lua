-- Give up accounts that a worker owns; others may adopt them.
-- ARGV: ..., worker, account, ...
local count = 0
for position = 4, #ARGV do count = count + set_free(ARGV[position], ARGV[3]) end
return count
