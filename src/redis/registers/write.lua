-- Keeps the last written of each register of a hash.
--
-- KEYS[1]  the hash: field -> "MILLISECONDS VALUE", or "MILLISECONDS" of a register without a value
-- ARGV     field, milliseconds, 1 if there is a value, value, ...; a last one alone is the hash's new stamp
-- Reply    number of registers written

local found = redis.call('TYPE', KEYS[1])['ok']
if found ~= 'none' and found ~= 'hash' then
  return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' is a ' .. found .. ' where a hash was expected')
end

-- By bytes: Lua compares by the server's locale.
local function is_greater(a, b)
  for at = 1, math.min(#a, #b) do
    local x, y = string.byte(a, at), string.byte(b, at)
    if x ~= y then return x > y end
  end
  return #a > #b
end

local written, count = {}, 0
for at = 1, #ARGV - 3, 4 do
  local field, given, has_value, value = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local held = redis.call('HGET', KEYS[1], field)
  local held_given, held_rest
  if held then
    held_given, held_rest = string.match(held, '^(%d+)(.*)$')
  end
  local is_later = true
  if held_given then
    local new, old = tonumber(given), tonumber(held_given)
    -- A value is greater than none.
    local rest = has_value == '1' and ' ' .. value or ''
    is_later = new > old or (new == old and is_greater(rest, held_rest))
  end
  if is_later then
    table.insert(written, field)
    table.insert(written, has_value == '1' and given .. ' ' .. value or given)
    count = count + 1
  end
end
if count > 0 then
  if #ARGV % 4 == 1 then
    table.insert(written, '\1stamp')
    table.insert(written, ARGV[#ARGV])
  end
  redis.call('HSET', KEYS[1], unpack(written))
end
return count
