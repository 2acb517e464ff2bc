-- Take an account for a worker and return the new epoch; 0 when another living worker owns it, there is no such
-- account, or the worker is itself not at work.
-- ARGV: ..., worker, account
if not working(ARGV[3]) then return 0 end
return take(ARGV[4], ARGV[3])
