-- Drops the members that are as they were read.
-- KEYS: stale, what the buckets' keys begin with. ARGV: when the first of them was read (the store's clock in seconds),
-- then for each member its field and the stamp that was read.
-- Returns how many were dropped. Stamps return after 2^32 microseconds, so what was read half that long ago is left.
if now - tonumber(ARGV[1]) > 2147 then return 0 end
local stale = read_stale(KEYS[1])
local count, width = spans(stale.buckets)
local stamps = {}
for i = 2, #ARGV, 2 do
  local number = bucket(stale.buckets, count, width, position(ARGV[i]))
  stamps[number] = stamps[number] or {}
  stamps[number][ARGV[i]] = ARGV[i + 1]
end
local dropped = 0
for number, wanted in pairs(stamps) do
  local key, fields, same = KEYS[2] .. ':' .. number, {}, {}
  for field in pairs(wanted) do fields[#fields + 1] = field end
  local found = redis.call('HMGET', key, unpack(fields))
  for i, field in ipairs(fields) do
    if found[i] and string.sub(found[i], 5) == wanted[field] then same[#same + 1] = field end
  end
  if #same > 0 and #same == redis.call('HLEN', key) then
    redis.call('UNLINK', key)
  elseif #same > 0 then
    redis.call('HDEL', key, unpack(same))
  end
  dropped = dropped + #same
end
return dropped
