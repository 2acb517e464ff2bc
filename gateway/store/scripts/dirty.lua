-- Take every mark off an account, because an operation of ours may have changed its mail.
-- KEYS: live marks
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 4) == 'box:' then redis.call('HDEL', KEYS[1], field) end
end
return redis.call('HINCRBY', KEYS[1], 'dirty', 1)
