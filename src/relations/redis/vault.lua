-- Writes vault entries. An entry is only ever extended.
-- KEYS: the entries. ARGV: for each its sealed bytes and when it may expire, in milliseconds.
for i, key in ipairs(KEYS) do
  local expires = tonumber(ARGV[2 * i])
  if redis.call('PEXPIRETIME', key) < expires then
    redis.call('SET', key, ARGV[2 * i - 1], 'PXAT', ARGV[2 * i])
  end
end
