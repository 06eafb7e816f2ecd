-- Reads whole buckets from a position on.
-- KEYS: stale, what the buckets' keys begin with. ARGV: position, fields that are enough, buckets that are enough.
-- Returns {now in seconds, the position behind the last bucket, now as a stamp, field, value, field, value, ...}.
local stale = read_stale(KEYS[1])
local count, width = spans(stale.buckets)
local pos, result = tonumber(ARGV[1]), { now, 0, now_stamp }
for _ = 1, tonumber(ARGV[3]) do
  local number, behind = bucket(stale.buckets, count, width, pos)
  local all = redis.call('HGETALL', KEYS[2] .. ':' .. number)
  for i = 1, #all do result[#result + 1] = all[i] end
  pos = behind
  if pos >= POSITIONS or #result - 3 >= 2 * tonumber(ARGV[2]) then break end
end
result[2] = string.format('%.0f', pos)
return result
