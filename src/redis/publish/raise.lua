-- Merges sources' contributions into a site's, and raises the counters by the difference. keys.rs
-- describes the keys.
--
-- KEYS[1]   the site's hash of hits
-- KEYS[2..] sorted sets of pages
-- ARGV      the expiry of each sorted set (Unix seconds, 0: never); then two lists, each preceded
--           by its length:
--             sources: name
--             rows:    key (1 is the hash), source (its place in the list), period or page address,
--                      page id (empty in the hash), generation (empty for a run), hits, weight (two residues)
-- Reply     {rows: total, contribution there now, the one before (nil: none), ...}
--           {per key and source, in the order of the rows: digest before, digest after, ...}
--
-- Lua does not roll back: everything is read and checked before the first write, and a single command
-- writes each key. Whatever stops the script, a counter, its contributions and their digests agree.

local abs, floor, format, insert, match = math.abs, math.floor, string.format, table.insert, string.match
local EXACT_MAX = 9007199254740991
-- counter/digest.rs describes digests.
local PRIME, GENERATION_FACTOR = 67108859, 65599

local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end

local wrong
local function refuse(key, reason)
  wrong = wrong or redis.error_reply('WRONGTYPE ' .. KEYS[key] .. ' ' .. reason)
end

local expiries = {}
for key = 2, #KEYS do
  expiries[key] = take()
end

local sources, prefixes = {}, {}
for index = 1, tonumber(take()) do
  sources[index] = take()
  prefixes[index] = '\1' .. sources[index] .. '\1'
end

-- Values of each key under the names of this call (false: nothing), and the values to write.
local held, asked, written, is_written = {}, {}, {}, {}
for key = 1, #KEYS do
  held[key], asked[key], written[key], is_written[key] = {}, {}, {}, {}
  local expected = key == 1 and 'hash' or 'zset'
  local found = redis.call('TYPE', KEYS[key])['ok']
  if found ~= 'none' and found ~= expected then
    refuse(key, 'is a ' .. found .. ' where a ' .. expected .. ' was expected')
  end
end
if wrong then return wrong end

local function ask(key, name)
  if held[key][name] == nil then
    held[key][name] = false
    insert(asked[key], name)
  end
end

-- A call has hundreds of rows: one pass, and tables that have their size from the beginning.
local rows, digests, digest_of = {}, {}, {}
for index = 1, tonumber(take()) do
  local key, source, name = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3]
  local generation = ARGV[at + 5]
  generation = generation ~= '' and tonumber(generation) or nil
  local register
  if key == 1 then
    register = name .. ' ' .. sources[source]
  else
    register = prefixes[source] .. ARGV[at + 4]
    if generation then ask(key, register .. '\1g') end
  end
  ask(key, name)
  ask(key, register)
  local place = key * 1000 + source
  local digest = digest_of[place]
  if not digest then
    digest = { key = key, name = key == 1 and 'digest ' .. sources[source] or prefixes[source] .. 'd' }
    digest_of[place] = digest
    insert(digests, digest)
    ask(key, digest.name)
  end
  rows[index] = {
    key = key, digest = digest, name = name, register = register, generation = generation,
    hits = tonumber(ARGV[at + 6]), first = ARGV[at + 7], second = ARGV[at + 8], before = false, now = false,
  }
  at = at + 8
end

for key = 1, #KEYS do
  if #asked[key] > 0 then
    local command = key == 1 and 'HMGET' or 'ZMSCORE'
    local values = redis.call(command, KEYS[key], unpack(asked[key]))
    for index, name in ipairs(asked[key]) do
      held[key][name] = values[index]
    end
  end
end

local function plain(name)
  return (string.gsub(name, '%c', '|'))
end

-- Whole number under a name, 0 where there is none.
local function number(key, name)
  local value = held[key][name]
  if not value then return 0 end
  local result = tonumber(value)
  local is_whole = result and result == floor(result) and abs(result) <= EXACT_MAX
  if not is_whole or (key == 1 and not match(value, '^-?%d+$')) then
    refuse(key, 'holds ' .. string.sub(plain(value), 1, 40) .. ' at ' .. plain(name) .. ' where a whole number below 2^53 was expected')
    return 0
  end
  return result
end

-- Contribution: hits and generation (nil for a run); nothing where there is none.
local function register(row)
  local value = held[row.key][row.register]
  if not value then return nil end
  if row.key > 1 then
    local generation = row.generation and -number(row.key, row.register .. '\1g')
    return -number(row.key, row.register), generation
  end
  if not row.generation then return number(1, row.register) end
  local generation, hits = match(value, '^(%d+) (-?%d+)$')
  generation, hits = tonumber(generation), tonumber(hits)
  if not hits or abs(hits) > EXACT_MAX or generation > EXACT_MAX then
    refuse(1, 'holds ' .. string.sub(plain(value), 1, 40) .. ' at ' .. row.register .. ' where a generation and a number were expected')
    return nil
  end
  return hits, generation
end

-- Redis keeps "-0" apart from "0" as a score.
local function text(value)
  if value == 0 then return '0' end
  return format('%.0f', value)
end

local function write(key, name, value)
  if not is_written[key][name] then
    is_written[key][name] = true
    insert(written[key], name)
  end
  held[key][name] = value
end

local function register_text(hits, generation)
  if not hits then return false end
  return generation and text(generation) .. ' ' .. text(hits) or text(hits)
end

-- A digest is kept as it is in the hash, and as -(1 + digest) as a score.
for _, digest in ipairs(digests) do
  local value = number(digest.key, digest.name)
  if digest.key > 1 and held[digest.key][digest.name] then value = -value - 1 end
  if value < 0 or value >= PRIME * PRIME then
    refuse(digest.key, 'holds no digest at ' .. plain(digest.name))
    value = 0
  end
  digest.before = value
  digest.first, digest.second = floor(value / PRIME), value % PRIME
end

-- Difference of two values of a contribution in a digest, modulo the prime.
local function difference(row, hits, generation)
  local result = row.hits - (hits or 0)
  if row.generation then
    result = result % PRIME + GENERATION_FACTOR * ((row.generation - (generation or 0)) % PRIME)
  end
  return result >= 0 and result < PRIME and result or result % PRIME
end

for _, row in ipairs(rows) do
  local hits, generation = register(row)
  local total = number(row.key, row.name)
  row.before = register_text(hits, generation)
  row.now = row.before
  local is_later
  if not hits then
    is_later = true
  elseif row.generation then
    is_later = row.generation > generation or (row.generation == generation and row.hits > hits)
  else
    is_later = row.hits > hits
  end
  if is_later then
    local raised = total + row.hits - (hits or 0)
    if abs(raised) > EXACT_MAX then
      refuse(row.key, 'would exceed 2^53 at ' .. plain(row.name))
    end
    row.now = register_text(row.hits, row.generation)
    write(row.key, row.name, text(raised))
    if row.key == 1 then
      write(1, row.register, row.now)
    else
      write(row.key, row.register, text(-row.hits))
      if row.generation then write(row.key, row.register .. '\1g', text(-row.generation)) end
    end
    local digest, change = row.digest, difference(row, hits, generation)
    digest.first = (digest.first + row.first * change) % PRIME
    digest.second = (digest.second + row.second * change) % PRIME
  end
end

local changes = {}
for _, digest in ipairs(digests) do
  local after = digest.first * PRIME + digest.second
  if after ~= digest.before then
    write(digest.key, digest.name, text(digest.key == 1 and after or -after - 1))
  end
  insert(changes, text(digest.before))
  insert(changes, text(after))
end

local replies = {}
for index, row in ipairs(rows) do
  local at = index * 3
  replies[at - 2], replies[at - 1], replies[at] = held[row.key][row.name] or '0', row.now, row.before
end

if wrong then return wrong end

for key = #KEYS, 1, -1 do
  local command = {}
  for _, name in ipairs(written[key]) do
    if key == 1 then
      insert(command, name)
      insert(command, held[key][name])
    else
      insert(command, held[key][name])
      insert(command, name)
    end
  end
  if #command > 0 then
    redis.call(key == 1 and 'HSET' or 'ZADD', KEYS[key], unpack(command))
    if key > 1 and expiries[key] ~= '0' and redis.call('TTL', KEYS[key]) == -1 then
      redis.call('EXPIREAT', KEYS[key], expiries[key])
    end
  end
end

return { replies, changes }
