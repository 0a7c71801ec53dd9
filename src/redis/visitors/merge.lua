-- Merges sketches into a site's, and writes estimates of its days' visitors. keys.rs describes the
-- keys.
--
-- KEYS[1]   the site's meta
-- KEYS[2]   place of a sketch while it is merged
-- KEYS[3]   the site's hash of estimates
-- KEYS[4..] sketches
-- ARGV      the site's time zone; for each sketch: the sketch to merge, its expiry (Unix seconds), and
--           its day, or nothing; then pairs of days and estimates
-- Reply     1, or 0 where the site is published under another time zone, which has other days
--
-- Calls may be repeated, reordered and broken off anywhere: sketches and estimates only grow.

local META, MERGING, ESTIMATES, FIRST = 1, 2, 3, 4

local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end

local zone = take()
if (redis.call('HGET', KEYS[META], 'time_zone') or zone) ~= zone then return 0 end

local function note(day, estimate)
  if estimate > tonumber(redis.call('HGET', KEYS[ESTIMATES], day) or 0) then
    redis.call('HSET', KEYS[ESTIMATES], day, string.format('%.0f', estimate))
  end
end

for key = FIRST, #KEYS do
  local sketch, expiry, day = take(), take(), take()
  redis.call('SET', KEYS[MERGING], sketch)
  local merged = redis.pcall('PFMERGE', KEYS[key], KEYS[MERGING])
  redis.call('DEL', KEYS[MERGING])
  if merged.err then return merged end
  if day ~= '' then note(day, redis.call('PFCOUNT', KEYS[key])) end
  redis.call('EXPIREAT', KEYS[key], expiry)
end

while at < #ARGV do
  note(take(), tonumber(take()))
end
return 1
