-- Writes the marker where it still is what was expected.
-- KEYS: the marker. ARGV: what is expected, empty for none; the new one.
-- Returns what is there now.
local there = redis.call('GET', KEYS[1]) or ''
if there ~= ARGV[1] then return there end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
