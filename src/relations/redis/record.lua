-- Records members of one or several entities. A command costs more here than what it does, so a new member of a bucket that is
-- there already takes two: HSETNX and PEXPIRETIME.
-- KEYS: the stale keys of all entities, then the first bucket's key of each.
-- ARGV: how many members each entity has, a byte each; then for each member its field and its expiry in seconds, 4 bytes.
-- Returns {now in milliseconds, now as a stamp, {place of an entity in KEYS, its stale record, ...}, {place of a member, its
-- value, ...}}: a member's value is its expiry and the stamp, where nothing else is said.
local call = redis.call
local SAMPLE = 4    -- one new member in so many asks how full its bucket is

local entities = #KEYS / 2
local records, values = {}, {}
local now_bytes = struct.pack('>I4', now_stamp)

-- What follows from an expiry, which most members of a call share: the value of a new member, and when its key may go. That is
-- an eighth later than it has to be, so that it need not be moved for each.
local known = {}
local function ending(bytes)
  local found = known[bytes]
  if not found then
    local expiry = struct.unpack('>I4', bytes)
    local till = expiry + 1 + math.max(math.floor((expiry - now) / 8), 0)
    found = { expiry = expiry, value = bytes .. now_bytes, least = (expiry + 1) * 1000, till = till,
      till_ms = string.format('%.0f', till * 1000) }
    known[bytes] = found
  end
  return found
end

-- No expiry is shortened, and no stamp is the one of before. Returns the value that was written, and the expiry.
local function renew(key, field, ends)
  local expiry, stamp = struct.unpack('>I4I4', call('HGET', key, field))
  local value = ends.value
  if expiry > ends.expiry or stamp == now_stamp then
    if stamp == now_stamp then stamp = (stamp + 1) % POSITIONS else stamp = now_stamp end
    value = struct.pack('>I4I4', math.max(expiry, ends.expiry), stamp)
  end
  call('HSET', key, field, value)
  return value, expiry
end

-- After a member was added. Returns whether the number of buckets has changed.
local function make_room(buckets, stale, key)
  local fields = call('HLEN', key)
  local limit = stale.buckets == 1 and ALONE or FULL
  if fields > limit then
    local alive = living(key)
    if alive > limit then
      split(buckets, stale)
      return true
    end
    if alive < fields then rebuild(stale, { key }, key) end
    return false
  end
  return fields < SPARSE and merge(buckets, stale)
end

local found, arg, place = call('MGET', unpack(KEYS, 1, entities)), 2, 0
for i = 1, entities do
  local lone, record = KEYS[entities + i], found[i]
  local buckets, stale, before, count, width = nil, nil, 1, 1, POSITIONS
  if record then
    records[#records + 1] = i
    records[#records + 1] = record
    if string.sub(record, -2) ~= ' 1' then
      stale, buckets = parse_stale(record), string.sub(lone, 1, -3)
      before, count, width = stale.buckets, spans(stale.buckets)
    end
  end
  for _ = 1, string.byte(ARGV[1], i) do
    local key, field, ends = lone, ARGV[arg], ending(ARGV[arg + 1])
    arg, place = arg + 2, place + 1
    if count > 1 then key = buckets .. ':' .. bucket(stale.buckets, count, width, position(field)) end
    local is_new = call('HSETNX', key, field, ends.value) == 1
    local moves = is_new
    if not is_new then
      local value, expiry = renew(key, field, ends)
      moves = expiry < ends.expiry
      if value ~= ends.value then
        values[#values + 1] = place
        values[#values + 1] = value
      end
    end
    if moves and call('PEXPIRETIME', key) < ends.least then
      call('PEXPIREAT', key, ends.till_ms)
      if stale then stale.latest = math.max(stale.latest, ends.till - 1) end
    end
    if is_new and (place + now_stamp) % SAMPLE == 0 then
      stale, buckets = stale or parse_stale(record), string.sub(lone, 1, -3)
      if make_room(buckets, stale, key) then count, width = spans(stale.buckets) end
    end
  end
  if stale and stale.buckets ~= before then
    write_stale(KEYS[i], stale)
  elseif before > 1 and stale.latest > 0 then
    call('PEXPIREAT', KEYS[i], string.format('%.0f', (stale.latest + 2) * 1000), 'GT')
  end
end
return { now_ms, now_stamp, records, values }
