-- Reads digests of a site. keys.rs describes the keys.
--
-- KEYS[1]   the site's hash of hits
-- KEYS[2..] sorted sets of pages
-- ARGV      for each digest: key (1 is the hash), source
-- Reply     each digest as it is kept; empty: none

local digests = {}
for at = 1, #ARGV, 2 do
  local key, source = tonumber(ARGV[at]), ARGV[at + 1]
  local digest
  if key == 1 then
    digest = redis.pcall('HGET', KEYS[1], 'digest ' .. source)
  else
    digest = redis.pcall('ZSCORE', KEYS[key], '\1' .. source .. '\1d')
  end
  -- An error: the key is of another type.
  if type(digest) == 'table' then
    local found, expected = redis.call('TYPE', KEYS[key])['ok'], key == 1 and 'hash' or 'zset'
    return redis.error_reply('WRONGTYPE ' .. KEYS[key] .. ' is a ' .. found .. ' where a ' .. expected .. ' was expected')
  end
  digests[#digests + 1] = digest or ''
end
return digests
