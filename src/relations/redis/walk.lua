-- Reads whole buckets from a position on.
-- KEYS: stale, what the buckets' keys begin with. ARGV: position, fields that are enough, buckets that are enough.
-- Returns {now in seconds, the position behind the last bucket, now as a stamp, a bucket's number, what it holds, ...}: one
-- string of its fields and values, where all fields are of 16 bytes, else a list of them.
local stale = read_stale(KEYS[1])
local count, width = spans(stale.buckets)
local pos, result, fields = tonumber(ARGV[1]), { now, 0, now_stamp }, 0
for _ = 1, tonumber(ARGV[3]) do
  local number, behind = bucket(stale.buckets, count, width, pos)
  local all = redis.call('HGETALL', KEYS[2] .. ':' .. number)
  local text = table.concat(all)
  -- No field of a member is shorter.
  if #text == 12 * #all and #all > 0 and #all[1] == 16 then all = text end
  result[#result + 1] = number
  result[#result + 1] = all
  pos, fields = behind, fields + (type(all) == 'string' and #all / 24 or #all / 2)
  if pos >= POSITIONS or fields >= tonumber(ARGV[2]) then break end
end
result[2] = pos
return result
