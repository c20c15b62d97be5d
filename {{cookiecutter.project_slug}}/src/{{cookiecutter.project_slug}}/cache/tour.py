"""What the tour shows of the cache."""

from ..database import Database
from .client import Cache, CacheAway
from .settings import CacheSettings


async def tour(_: Database) -> None:
    """Ask three times for one value: it is loaded, found, and loaded again."""
    async with Cache(CacheSettings()) as cache:
        try:
            await cache.ping()
        except CacheAway as reason:
            print(f"cache     {reason}")
            return
        await cache.delete("tour")
        for event in ("nothing is there", "asked again", "invalidated"):
            if event == "invalidated":
                await cache.invalidate("tour")
            print(f"cache     {event}: {await ask(cache)}")


async def ask(cache: Cache) -> str:
    """Ask for a value, and say whether it had to be loaded."""
    said = "found"

    async def load() -> int:
        nonlocal said
        said = "loaded"
        return 42

    await cache.get_or_set("tour", 60, load, tags=["tour"])
    return said
