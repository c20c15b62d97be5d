"""Request one value from 50 tasks at a given moment; each load appends a line to a file.

Runs in a rendered project: stampede.py <moment> <file>.
"""

import asyncio
import sys
import time
from pathlib import Path

from async_app.cache.client import Cache
from async_app.cache.settings import CacheSettings


async def main(moment: float, file: Path) -> None:
    async def load() -> str:
        with file.open("a") as lines:
            lines.write("load\n")
        await asyncio.sleep(0.5)
        return "value"

    async with Cache(CacheSettings()) as cache:
        await cache.ping()
        await asyncio.sleep(moment - time.time())
        values = await asyncio.gather(
            *(cache.get_or_set("stampede", 60, load) for _ in range(50))
        )
    print(len(values), *set(values))


asyncio.run(main(float(sys.argv[1]), Path(sys.argv[2])))
