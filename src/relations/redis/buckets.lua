-- An entity's members, and so a holder's entries, stand in small hashes, the buckets, spread by position (0 to 2^32 - 1). With n = 2^k + s buckets,
-- the first s of 2^k equal spans are split in two (linear hashing, Litwin 1980, over spans instead of remainders, so
-- that a walk in the order of positions stays right while buckets split and merge). A bucket's number is 2^level + span.
--
-- field: of a member 16 bytes of holder id; a variant adds 4 bytes of position and its text
--        of a holder's entry 4 bytes of position, then what is held (see `holding.rs`)
--        `position_at`, from `members.lua` or `entities.lua`, says where the position stands
-- value: 4 bytes of expiry (seconds, rounded up), 4 bytes of stamp (the store's clock in microseconds, modulo 2^32)
local POSITIONS = 4294967296
local ALONE = 112   -- fields that a lone bucket holds before it splits
local FULL = 88     -- fields past which a bucket among several asks for one more
local SPARSE = 24   -- fields below which one asks for one less
local MERGED = 48   -- fields that two buckets of several may have together to be merged

local time = redis.call('TIME')
local now = tonumber(time[1])
local now_ms = now * 1000 + math.floor(tonumber(time[2]) / 1000)
local now_stamp = (now * 1000000 + tonumber(time[2])) % POSITIONS

local function position(field)
  local at = position_at(field)
  local a, b, c, d = string.byte(field, at, at + 3)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

-- The largest power of two that is at most n, and the width of that many spans.
local function spans(n)
  local count = 1
  while count * 2 <= n do count = count * 2 end
  return count, POSITIONS / count
end

-- The number of the bucket at a position, and where its span ends.
local function bucket(n, count, width, pos)
  local span = math.floor(pos / width)
  if span < n - count then
    count, width = count * 2, width / 2
    span = math.floor(pos / width)
  end
  return count + span, (span + 1) * width
end

-- 'generation at until buckets': see DESIGN 6; times in milliseconds. No value is that of an entity that has one bucket, and
-- was not invalidated.
local function parse_stale(value)
  if not value then return { generation = 0, at = 0, till = 0, buckets = 1, latest = 0 } end
  local generation, at, till, buckets = string.match(value, '^(%d+) (%d+) (%d+) (%d+)$')
  if not generation then return error('unreadable stale record') end
  return {
    generation = tonumber(generation), at = tonumber(at), till = tonumber(till), buckets = tonumber(buckets), latest = 0,
  }
end

local function read_stale(key) return parse_stale(redis.call('GET', key)) end

-- The key outlives every member that was met (`latest`, in seconds) and lives never shorter than it would have, so that
-- the number of buckets is known as long as there is one; and until the clock has passed the generation, so that this
-- does not go back. It goes at once where it says nothing any more.
local function write_stale(key, stale)
  if stale.buckets == 1 and stale.till <= now_ms and stale.generation < now_ms then
    redis.call('DEL', key)
    return
  end
  local till = math.max(redis.call('PEXPIRETIME', key), stale.till, stale.generation + 10,
    (stale.latest + 2) * 1000)
  local value = string.format('%.0f %.0f %.0f %.0f', stale.generation, stale.at, stale.till, stale.buckets)
  redis.call('SET', key, value, 'PXAT', string.format('%.0f', till))
end

-- Puts the living fields of some buckets where `target` says, and gives up the old keys. Remembers in `stale` when the
-- last of them dies: the number of buckets must be known for as long. Returns how many fields are left.
local function rebuild(stale, keys, target)
  local left, filled = 0, {}
  for _, key in ipairs(keys) do
    local all = redis.call('HGETALL', key)
    for i = 1, #all, 2 do
      local expiry = struct.unpack('>I4', all[i + 1])
      if expiry > now then
        local to = target(all[i])
        local fill = filled[to]
        if not fill then fill = { expiry = 0 }; filled[to] = fill end
        fill[#fill + 1] = all[i]
        fill[#fill + 1] = all[i + 1]
        fill.expiry = math.max(fill.expiry, expiry)
        stale.latest = math.max(stale.latest, expiry)
        left = left + 1
      end
    end
  end
  redis.call('UNLINK', unpack(keys))
  for to, fill in pairs(filled) do
    redis.call('HSET', to, unpack(fill))
    redis.call('EXPIREAT', to, fill.expiry + 1)
  end
  return left
end

-- One more bucket: the next span in turn is split in two.
local function split(buckets, stale)
  local n = stale.buckets
  local count, width = spans(n)
  local old = buckets .. ':' .. n
  stale.buckets = n + 1
  count, width = spans(n + 1)
  rebuild(stale, { old }, function(field)
    return buckets .. ':' .. bucket(n + 1, count, width, position(field))
  end)
end

-- One bucket less, where the two that were split last have room in one. Returns whether they had.
local function merge(buckets, stale)
  local n = stale.buckets - 1
  if n < 1 then return false end
  local one, two, both = buckets .. ':' .. 2 * n, buckets .. ':' .. 2 * n + 1, buckets .. ':' .. n
  local room = n == 1 and FULL or MERGED
  if redis.call('HLEN', one) + redis.call('HLEN', two) > room then return false end
  rebuild(stale, { one, two }, function() return both end)
  stale.buckets = n
  return true
end
