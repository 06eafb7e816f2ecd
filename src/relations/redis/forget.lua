-- Drops the members, or a holder's entries, that are as they were read, or has them end soon.
-- KEYS: stale, what the buckets' keys begin with. ARGV: how many seconds they linger, then for each member its field and the
-- value that was read.
-- Returns how many were as they were read.
local stale = read_stale(KEYS[1])
local count, width = spans(stale.buckets)
local ends = now + tonumber(ARGV[1])
local lingers = ends > now
local values = {}
for i = 2, #ARGV, 2 do
  local number = bucket(stale.buckets, count, width, position(ARGV[i]))
  values[number] = values[number] or {}
  values[number][ARGV[i]] = ARGV[i + 1]
end

-- A member that lingers keeps its stamp. Where all of a bucket do, its key goes with them; else it outlives them anyway.
local function linger(key, fields, wanted)
  local sooner = {}
  for _, field in ipairs(fields) do
    local expiry, stamp = struct.unpack('>I4I4', wanted[field])
    if expiry > ends then
      sooner[#sooner + 1] = field
      sooner[#sooner + 1] = struct.pack('>I4I4', ends, stamp)
    end
  end
  if #sooner > 0 then redis.call('HSET', key, unpack(sooner)) end
  if #fields > 0 and #fields == redis.call('HLEN', key) then redis.call('EXPIREAT', key, ends + 1, 'LT') end
end

local dropped = 0
for number, wanted in pairs(values) do
  local key, fields, same = KEYS[2] .. ':' .. number, {}, {}
  for field in pairs(wanted) do fields[#fields + 1] = field end
  local found = redis.call('HMGET', key, unpack(fields))
  for i, field in ipairs(fields) do
    if found[i] == wanted[field] then same[#same + 1] = field end
  end
  if lingers then
    linger(key, same, wanted)
  elseif #same > 0 and #same == redis.call('HLEN', key) then
    redis.call('UNLINK', key)
  elseif #same > 0 then
    redis.call('HDEL', key, unpack(same))
  end
  dropped = dropped + #same
end
return dropped
