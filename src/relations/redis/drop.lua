-- Drops buckets of an entity that are as they were read: all of their members at once.
-- KEYS: the buckets. ARGV: for each its fields and values in one string, as `walk.lua` has it.
-- Returns the places of those that are not.
local others = {}
for i, key in ipairs(KEYS) do
  local all = redis.call('HGETALL', key)
  if #all * 12 == #ARGV[i] and table.concat(all) == ARGV[i] then
    redis.call('UNLINK', key)
  else
    others[#others + 1] = i
  end
end
return others
