-- Reads digests of a site. keys.rs describes the keys.
--
-- KEYS[1]   the site's hash of hits
-- KEYS[2..] sorted sets of pages
-- ARGV      for each digest: key (1 is the hash), source
-- Reply     each digest as it is kept; empty: none

for key = 1, #KEYS do
  local expected = key == 1 and 'hash' or 'zset'
  local found = redis.call('TYPE', KEYS[key])['ok']
  if found ~= 'none' and found ~= expected then
    return redis.error_reply('WRONGTYPE ' .. KEYS[key] .. ' is a ' .. found .. ' where a ' .. expected .. ' was expected')
  end
end

local digests = {}
for at = 1, #ARGV, 2 do
  local key, source = tonumber(ARGV[at]), ARGV[at + 1]
  local digest
  if key == 1 then
    digest = redis.call('HGET', KEYS[1], 'digest ' .. source)
  else
    digest = redis.call('ZSCORE', KEYS[key], '\1' .. source .. '\1d')
  end
  table.insert(digests, digest or '')
end
return digests
