-- Writes vault entries. An entry is only ever extended, and one that names its holder is not replaced by one that does not.
-- KEYS: the entries. ARGV: for each its sealed bytes, when it may expire (ms), and 1 where it names the holder.
for i, key in ipairs(KEYS) do
  local sealed, expires, names = ARGV[3 * i - 2], tonumber(ARGV[3 * i - 1]), ARGV[3 * i] == '1'
  local known = redis.call('PEXPIRETIME', key)
  if known < 0 or names then
    redis.call('SET', key, sealed, 'PXAT', string.format('%.0f', math.max(known, expires)))
  elseif known < expires then
    redis.call('PEXPIREAT', key, ARGV[3 * i - 1])
  end
end
