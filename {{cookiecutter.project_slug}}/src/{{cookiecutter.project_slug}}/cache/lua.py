"""Lua scripts; Redis runs each of them atomically.

An entry is a hash: the value, the versions of its tags when loading started, and the
time until which it is fresh, by the clock of Redis. A lock holds the token of its
owner and the same versions. All times are in milliseconds.
"""

_TAG_VERSIONS = """
local function tag_versions(first, new_version, ttl)
    local versions = {}
    for i = first, #KEYS do
        local version = redis.call('GET', KEYS[i])
        if not version and new_version then
            version = new_version
            redis.call('SET', KEYS[i], version, 'PX', ttl)
        end
        versions[#versions + 1] = version or '-'
    end
    return table.concat(versions, ' ')
end
"""

LOOK_UP = _TAG_VERSIONS + """
local token, lock_ttl, tag_ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local current = tag_versions(3, token, tag_ttl)
local entry = redis.call('HMGET', KEYS[1], 'value', 'versions', 'fresh')
local value = entry[2] == current and entry[1]
if value and now < tonumber(entry[3]) then
    return {'hit', current, value}
end
local owner = redis.call('GET', KEYS[2])
local mine = token .. ' ' .. current
-- A lock for outdated versions is ignored: its value will not be stored. A retry of a
-- request whose reply was lost owns the lock already.
if owner and owner ~= mine and string.sub(owner, #token + 2) == current then
    return {value and 'hit' or 'wait', current, value or ''}
end
redis.call('SET', KEYS[2], mine, 'PX', lock_ttl)
for i = 3, #KEYS do
    if redis.call('PTTL', KEYS[i]) < tag_ttl then
        redis.call('PEXPIRE', KEYS[i], tag_ttl)
    end
end
return {'load', current, ''}
"""
"""Look up an entry, or take the lock for loading it.

KEYS: entry, lock, tags. ARGV: a new token, TTL of the lock, TTL of the tags.

Returns a state, the versions of the tags, and the value. The state is `hit` for a
fresh value, or a stale one that is being refreshed; `load` if the caller owns the lock
now; `wait` if another caller owns it.
"""

STORE = _TAG_VERSIONS + """
local token, versions, value, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('GET', KEYS[2]) ~= token .. ' ' .. versions then
    return 0
end
redis.call('DEL', KEYS[2])
if tag_versions(3) ~= versions then
    return 0
end
local time = redis.call('TIME')
local fresh = time[1] * 1000 + math.floor(time[2] / 1000) + ttl
redis.call('HSET', KEYS[1], 'value', value, 'versions', versions)
redis.call('HSET', KEYS[1], 'fresh', string.format('%.0f', fresh))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
"""
"""Store a value and release the lock, unless the lock was lost or a tag invalidated.

KEYS: entry, lock, tags. ARGV: token, versions, value, TTL of the value, TTL of the
entry, which stays longer to be served stale.
"""

RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
"""
"""Renew a lock that the caller still owns; with a TTL of 0, release it.

KEYS: lock. ARGV: token and versions, TTL.
"""

PING = "return 1"
"""Return 1: a server that refuses to run scripts cannot hold the cache."""
