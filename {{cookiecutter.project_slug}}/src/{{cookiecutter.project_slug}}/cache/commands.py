"""Check of Redis for `doctor`."""

from ..health import CheckResult


async def check_redis() -> CheckResult:
    """Check that Redis responds, if it is configured."""
    # Imported here: every command of the project imports this module.
    from .client import Cache, CacheUnavailableError
    from .settings import CacheSettings

    async with Cache(CacheSettings()) as cache:
        if not cache.enabled:
            message = "not configured: set REDIS_URL to enable the cache"
            return CheckResult("ok", "redis", message)
        try:
            await cache.ping()
        except CacheUnavailableError as error:
            return CheckResult("fail", "redis", f"{error}: start it or fix REDIS_URL")
    return CheckResult("ok", "redis", "responds")


doctor_checks = (check_redis,)
