-- Merges buckets that have become sparse.
-- KEYS: stale, what the buckets' keys begin with. ARGV: how many merges are enough.
-- Returns 1 where there may be more to merge.
local stale = read_stale(KEYS[1])
local before, room = stale.buckets, stale.buckets > 1
for _ = 1, tonumber(ARGV[1]) do
  room = room and merge(KEYS[2], stale)
  if not room then break end
end
if stale.buckets ~= before then write_stale(KEYS[1], stale) end
return room and 1 or 0
