-- Writes stale and takes a new generation. A generation is greater than any that was given out before in the same
-- millisecond too.
-- KEYS: stale. ARGV: the time of the write in milliseconds, how long stale has to live.
-- Returns {at, generation}.
local stale = read_stale(KEYS[1])
if stale.till <= now_ms then stale.at = 0 end
stale.at = math.max(stale.at, tonumber(ARGV[1]))
stale.generation = math.max(stale.generation + 1, now_ms + 1)
stale.till = math.max(stale.till, now_ms + tonumber(ARGV[2]))
write_stale(KEYS[1], stale)
return { string.format('%.0f', stale.at), string.format('%.0f', stale.generation) }
