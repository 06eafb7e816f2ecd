-- Looks members of one or several entities up.
-- KEYS: for each entity its stale key and what its buckets' keys begin with.
-- ARGV: for each entity the number of members, then each member's field.
-- Returns {now in seconds, now as a stamp, for each member its value, or nothing}.
local result, arg = { now, now_stamp }, 1
for i = 1, #KEYS, 2 do
  local stale = read_stale(KEYS[i])
  local count, width = spans(stale.buckets)
  for _ = 1, tonumber(ARGV[arg]) do
    arg = arg + 1
    local number = bucket(stale.buckets, count, width, position(ARGV[arg]))
    result[#result + 1] = redis.call('HGET', KEYS[i + 1] .. ':' .. number, ARGV[arg])
  end
  arg = arg + 1
end
return result
