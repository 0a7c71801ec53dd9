-- Writes counts only if everything that was read before is unchanged: compare and set.
--
-- KEYS[1] a hash or a sorted set
-- ARGV    number of names in the key (empty: any); then for each name: name, expected value (empty: none),
--         new value (empty: unchanged)
-- Reply   1: written; 0: something has changed, and nothing was written

local is_hash = redis.call('TYPE', KEYS[1])['ok'] == 'hash'

-- A new name may be a contribution that nobody has read.
if ARGV[1] ~= '' and redis.call(is_hash and 'HLEN' or 'ZCARD', KEYS[1]) ~= tonumber(ARGV[1]) then
  return 0
end

local command = {}
for at = 2, #ARGV, 3 do
  local name, seen, wanted = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local there = redis.call(is_hash and 'HGET' or 'ZSCORE', KEYS[1], name)
  local is_same
  if not there or seen == '' then
    is_same = not there and seen == ''
  elseif is_hash then
    is_same = there == seen
  else
    is_same = tonumber(there) == tonumber(seen)
  end
  if not is_same then return 0 end
  if wanted ~= '' then
    table.insert(command, is_hash and name or wanted)
    table.insert(command, is_hash and wanted or name)
  end
end

redis.call(is_hash and 'HSET' or 'ZADD', KEYS[1], unpack(command))
return 1
