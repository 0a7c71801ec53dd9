-- Joins the tags of networks that have read a site's pages on a day.
--
-- KEYS[1]  the day's hash of tags
-- KEYS[2]  the sorted set of the pages' totals: a page in it is vouched for
-- KEYS[3]  the next day's hash of tags: it learns the number of this day's networks
-- ARGV     expiry (Unix seconds), networks of the day before, most tags of a field, the next day's expiry; then for
--          each vote:
--          field, page (empty: none), tags (8 hexadecimal digits each)
-- Reply    networks of the day before; then for each vote: tags, 1 if the page is vouched for

for key, expected in ipairs({ 'hash', 'zset', 'hash' }) do
  local found = redis.call('TYPE', KEYS[key])['ok']
  if found ~= 'none' and found ~= expected then
    return redis.error_reply('WRONGTYPE ' .. KEYS[key] .. ' is a ' .. found .. ' where a ' .. expected .. ' was expected')
  end
end

local written = {}
local function write(field, value)
  table.insert(written, field)
  table.insert(written, value)
end

local BEFORE, most = '\1before', tonumber(ARGV[3])
local before = tonumber(redis.call('HGET', KEYS[1], BEFORE) or '0') or 0
if tonumber(ARGV[2]) > before then
  before = tonumber(ARGV[2])
  write(BEFORE, ARGV[2])
end

local reply, networks = { before }, 0
for at = 5, #ARGV, 3 do
  local field, page, new = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local held = redis.call('HGET', KEYS[1], field) or ''
  local tags, count, has = '', 0, {}
  for tag in string.gmatch(held .. new, '%x%x%x%x%x%x%x%x') do
    if not has[tag] and count < most then
      has[tag] = true
      tags = tags .. tag
      count = count + 1
    end
  end
  if tags ~= held then write(field, tags) end
  if field == '' then networks = count end
  table.insert(reply, tags)
  table.insert(reply, page ~= '' and redis.call('ZSCORE', KEYS[2], page) and 1 or 0)
end
if #written > 0 then
  redis.call('HSET', KEYS[1], unpack(written))
  if redis.call('TTL', KEYS[1]) == -1 then
    redis.call('EXPIREAT', KEYS[1], ARGV[1])
  end
end
if networks > (tonumber(redis.call('HGET', KEYS[3], BEFORE) or '0') or 0) then
  redis.call('HSET', KEYS[3], BEFORE, networks)
  if redis.call('TTL', KEYS[3]) == -1 then
    redis.call('EXPIREAT', KEYS[3], ARGV[4])
  end
end
return reply
