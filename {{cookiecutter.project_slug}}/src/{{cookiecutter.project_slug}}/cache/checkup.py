"""What `make doctor` looks at for the cache."""

from .client import Cache, CacheAway
from .settings import CacheSettings


async def look() -> tuple[str, str, str]:
    """See whether Redis answers, where there is an address of one."""
    async with Cache(CacheSettings()) as cache:
        if not cache.enabled:
            return "ok", "redis", "not set, and nothing is cached: REDIS_URL"
        try:
            await cache.ping()
        except CacheAway as reason:
            return "fail", "redis", f"{reason}: start it, or correct REDIS_URL"
    return "ok", "redis", "it answers"
