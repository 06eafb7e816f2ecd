-- Records members of one or several entities.
-- KEYS: for each entity its stale key and what its buckets' keys begin with.
-- ARGV: for each entity the number of members, then for each member its field and its expiry in seconds.
-- Returns for each entity: {at, its generation, the generation of a read that begins now, value of each member...}, no
-- `at` where no stale is alive.
local function keep(key, expiry, is_new)
  if is_new then
    redis.call('EXPIREAT', key, expiry + 1)
  else
    redis.call('EXPIREAT', key, expiry + 1, 'GT')
  end
end

-- After a member was added. Returns whether the number of buckets has changed.
local function make_room(buckets, stale, key, fields)
  local limit = stale.buckets == 1 and ALONE or FULL
  if fields > limit and (fields - limit) % 4 == 1 then
    if rebuild(stale, { key }, function() return key end) > limit then split(buckets, stale) end
    return true
  end
  return fields < SPARSE and merge(buckets, stale)
end

local function record(stale, buckets, count, width, field, expiry)
  local number = bucket(stale.buckets, count, width, position(field))
  local key = buckets .. ':' .. number
  local stamp = now_stamp
  local old = redis.call('HGET', key, field)
  if old then
    local old_expiry, old_stamp = struct.unpack('>I4I4', old)
    expiry = math.max(expiry, old_expiry)
    if old_stamp == stamp then stamp = (stamp + 1) % POSITIONS end
  end
  local value = struct.pack('>I4I4', expiry, stamp)
  redis.call('HSET', key, field, value)
  local fields = old and 0 or redis.call('HLEN', key)
  keep(key, expiry, fields == 1)
  return value, expiry, not old and make_room(buckets, stale, key, fields)
end

local results, arg = {}, 1
for i = 1, #KEYS, 2 do
  local stale = read_stale(KEYS[i])
  local found = stale.till > now_ms
  local result = {
    found and string.format('%.0f', stale.at), string.format('%.0f', stale.generation),
    string.format('%.0f', math.max(stale.generation, now_ms)),
  }
  local before = stale.buckets
  local count, width = spans(stale.buckets)
  for _ = 1, tonumber(ARGV[arg]) do
    local value, expiry, changed =
      record(stale, KEYS[i + 1], count, width, ARGV[arg + 1], tonumber(ARGV[arg + 2]))
    result[#result + 1] = value
    stale.latest = math.max(stale.latest, expiry)
    if changed then count, width = spans(stale.buckets) end
    arg = arg + 2
  end
  arg = arg + 1
  if stale.buckets ~= before then
    write_stale(KEYS[i], stale)
  elseif stale.buckets > 1 then
    redis.call('EXPIREAT', KEYS[i], stale.latest + 2, 'GT')
  end
  results[#results + 1] = result
end
return results
