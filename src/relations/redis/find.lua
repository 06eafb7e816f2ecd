-- Reads members of one or several entities.
-- KEYS: for each member the stale key of its entity and what its buckets' keys begin with. ARGV: the members' fields.
-- Returns for each its value; false where there is none that lives.
local found = {}
for i, field in ipairs(ARGV) do
  local buckets = read_stale(KEYS[2 * i - 1]).buckets
  local count, width = spans(buckets)
  local value = redis.call('HGET', KEYS[2 * i] .. ':' .. bucket(buckets, count, width, position(field)), field)
  found[i] = value and struct.unpack('>I4', value) > now and value
end
return found
