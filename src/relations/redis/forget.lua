-- Drops the members that are as they were read.
-- KEYS: stale, what the buckets' keys begin with. ARGV: for each member its field and the value that was read.
-- Returns how many were dropped.
local stale = read_stale(KEYS[1])
local count, width = spans(stale.buckets)
local values = {}
for i = 1, #ARGV, 2 do
  local number = bucket(stale.buckets, count, width, position(ARGV[i]))
  values[number] = values[number] or {}
  values[number][ARGV[i]] = ARGV[i + 1]
end
local dropped = 0
for number, wanted in pairs(values) do
  local key, fields, same = KEYS[2] .. ':' .. number, {}, {}
  for field in pairs(wanted) do fields[#fields + 1] = field end
  local found = redis.call('HMGET', key, unpack(fields))
  for i, field in ipairs(fields) do
    if found[i] == wanted[field] then same[#same + 1] = field end
  end
  if #same > 0 and #same == redis.call('HLEN', key) then
    redis.call('UNLINK', key)
  elseif #same > 0 then
    redis.call('HDEL', key, unpack(same))
  end
  dropped = dropped + #same
end
return dropped
