-- Tries commands on a key of its own, which is gone afterwards.
--
-- KEYS[1] the probe's key
-- ARGV    for each command: how many words follow it, its name, its arguments after the key; a name
--         of nothing empties the key
-- Reply   name and error of each command that failed, flat

local failed = {}

local function clear()
  redis.pcall('EXPIREAT', KEYS[1], 1)
end

local at = 1
while at <= #ARGV do
  local count, name = tonumber(ARGV[at]), ARGV[at + 1]
  if name == '' then
    clear()
  else
    local reply = redis.pcall(name, KEYS[1], unpack(ARGV, at + 2, at + 1 + count))
    if type(reply) == 'table' and reply.err then
      table.insert(failed, name)
      table.insert(failed, reply.err)
    end
  end
  at = at + 2 + count
end
clear()
return failed
