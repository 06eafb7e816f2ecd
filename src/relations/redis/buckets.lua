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

-- Fields and values of a bucket, of a key that outlives all of them.
local function fill(stale, key, all, latest)
  if #all == 0 then return end
  redis.call('HSET', key, unpack(all))
  redis.call('EXPIREAT', key, latest + 1)
  stale.latest = math.max(stale.latest, latest)
end

-- Puts the living fields of some buckets into `low`, or from the position `middle` on into `high`, and gives up the old keys.
-- Remembers in `stale` when the last of them dies: the number of buckets must be known for as long.
local function rebuild(stale, keys, low, high, middle)
  local below, above, latest_below, latest_above = {}, {}, 0, 0
  for _, key in ipairs(keys) do
    local all = redis.call('HGETALL', key)
    for i = 1, #all, 2 do
      local field, value = all[i], all[i + 1]
      local a, b, c, d = string.byte(value, 1, 4)
      local expiry = ((a * 256 + b) * 256 + c) * 256 + d
      if expiry > now then
        if high and position(field) >= middle then
          above[#above + 1] = field
          above[#above + 1] = value
          if expiry > latest_above then latest_above = expiry end
        else
          below[#below + 1] = field
          below[#below + 1] = value
          if expiry > latest_below then latest_below = expiry end
        end
      end
    end
  end
  redis.call('UNLINK', unpack(keys))
  fill(stale, low, below, latest_below)
  if high then fill(stale, high, above, latest_above) end
end

-- How many of a bucket's fields are alive.
local function living(key)
  local all, count = redis.call('HGETALL', key), 0
  for i = 2, #all, 2 do
    local a, b, c, d = string.byte(all[i], 1, 4)
    if ((a * 256 + b) * 256 + c) * 256 + d > now then count = count + 1 end
  end
  return count
end

-- One more bucket: the next span in turn is split in two.
local function split(buckets, stale)
  local n = stale.buckets
  local count, width = spans(n)
  stale.buckets = n + 1
  local middle = (n - count) * width + width / 2
  rebuild(stale, { buckets .. ':' .. n }, buckets .. ':' .. 2 * n, buckets .. ':' .. 2 * n + 1, middle)
end

-- One bucket less, where the two that were split last have room in one. Returns whether they had.
local function merge(buckets, stale)
  local n = stale.buckets - 1
  if n < 1 then return false end
  local one, two, both = buckets .. ':' .. 2 * n, buckets .. ':' .. 2 * n + 1, buckets .. ':' .. n
  local room = n == 1 and FULL or MERGED
  if redis.call('HLEN', one) + redis.call('HLEN', two) > room then return false end
  rebuild(stale, { one, two }, both)
  stale.buckets = n
  return true
end
