"""What Redis does in one step each, in its own language, Lua.

An entry is a hash: its value, the versions of its tags when it was loaded, and the
moment until which it is fresh, by the clock of Redis. A lock holds the token of who
loads, and the same versions.
"""

_VERSIONS = """
local function versions(first, make, life)
    local found = {}
    for i = first, #KEYS do
        local version = redis.call('GET', KEYS[i])
        if not version and make then
            version = make
            redis.call('SET', KEYS[i], version, 'PX', life)
        end
        found[#found + 1] = version or '-'
    end
    return table.concat(found, ' ')
end
"""

LOOK_UP = _VERSIONS + """
local token, patience, life = ARGV[1], ARGV[2], tonumber(ARGV[3])
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local wanted = versions(3, token, life)
local entry = redis.call('HMGET', KEYS[1], 'value', 'versions', 'fresh')
local value = entry[2] == wanted and entry[1]
if value and now < tonumber(entry[3]) then
    return {'hit', wanted, value}
end
local holder = redis.call('GET', KEYS[2])
local mine = token .. ' ' .. wanted
-- Who loads for versions that are gone loads in vain. And who asks again because the
-- answer was lost has the lock already.
if holder and holder ~= mine and string.sub(holder, #token + 2) == wanted then
    return {value and 'hit' or 'wait', wanted, value or ''}
end
redis.call('SET', KEYS[2], mine, 'PX', patience)
for i = 3, #KEYS do
    if redis.call('PTTL', KEYS[i]) < life then
        redis.call('PEXPIRE', KEYS[i], life)
    end
end
return {'load', wanted, ''}
"""
"""Return the value, or who has to load it.

KEYS: the entry, its lock, its tags. ARGV: a new token, how long the lock holds, how
long the tags are kept. Times are in milliseconds.
"""

STORE = _VERSIONS + """
if redis.call('GET', KEYS[2]) ~= ARGV[1] .. ' ' .. ARGV[2] then
    return 0
end
redis.call('DEL', KEYS[2])
if versions(3) ~= ARGV[2] then
    return 0
end
local now = redis.call('TIME')
local fresh = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[4]
redis.call('HSET', KEYS[1], 'value', ARGV[3], 'versions', ARGV[2])
redis.call('HSET', KEYS[1], 'fresh', string.format('%.0f', fresh))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
"""
"""Store a value and free the lock, unless the lock or the versions are others by now.

KEYS: as above. ARGV: token, versions, value, how long it is fresh, how long it is kept.
"""

RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
"""
"""Hold a lock for longer, if it is still ours; for 0 milliseconds: free it."""

PING = "return 1"
"""Answer: a server that cannot run scripts is of no use here."""
