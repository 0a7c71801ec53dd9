-- Keeps the latest of each page's titles.
--
-- KEYS[1]  the site's hash of titles: page address -> "MILLISECONDS TITLE"
-- ARGV     page, milliseconds, title, ...

local written = {}
for at = 1, #ARGV, 3 do
  local held = redis.call('HGET', KEYS[1], ARGV[at])
  local given = held and tonumber(string.match(held, '^(%d+) '))
  if not given or tonumber(ARGV[at + 1]) > given then
    table.insert(written, ARGV[at])
    table.insert(written, ARGV[at + 1] .. ' ' .. ARGV[at + 2])
  end
end
if #written > 0 then
  redis.call('HSET', KEYS[1], unpack(written))
end
