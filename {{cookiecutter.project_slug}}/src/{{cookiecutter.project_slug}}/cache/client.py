"""The cache: one loads a value, all others get it, until it is old or invalid."""

import asyncio
import logging
import random
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
)
from contextlib import asynccontextmanager, suppress
from functools import cached_property
from secrets import token_hex
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic_core import from_json, to_json
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError

from . import scripts
from .settings import CacheSettings

logger = logging.getLogger(__name__)

NAME = __name__.partition(".")[0]

Result = TypeVar("Result")

Load = Callable[[], Awaitable[Any]]

PAUSE = 1.0
"""Seconds without a question to Redis after it did not answer."""

JITTER = 0.1
"""The part of its time that an entry may be short of, so that not all end at once."""

STALE = 60.0
"""Seconds, at most, that an entry is kept for those who need not wait for the next."""

TAGS_KEPT = 86400.0
"""Seconds that a version is kept at least; without it its entries are invalid."""

POLL = 0.03
"""Seconds, about, between two looks at what another process loads."""

# What redis-py raises is no OSError, and what asyncio raises is no RedisError.
AWAY = (RedisError, OSError)


NO_ADDRESS = "set REDIS_URL to the address of a Redis to cache something"


class CacheAway(Exception):
    """Redis does not answer."""


class Cache:
    """Values in Redis; it opens nothing until it is used.

    `async with Cache(settings) as cache:` closes it in the end. Where Redis is away, or
    no address of one is set, everything is loaded anew, and nothing raises but `ping`.
    """

    def __init__(self, settings: CacheSettings) -> None:
        """Remember the settings; the first use opens a connection."""
        self.settings = settings
        self.prefix = f"{NAME}:{settings.cache_version}"
        self._away = False
        self._next_try = 0.0
        self._owed: set[str] = set()
        self._busy: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def enabled(self) -> bool:
        """Whether there is an address of a Redis."""
        return self.settings.redis_url is not None

    @cached_property
    def redis(self) -> Redis:
        """The client, for what the cache itself does not offer."""
        if self.settings.redis_url is None:
            raise CacheAway(NO_ADDRESS)
        timeout = self.settings.redis_timeout
        # It waits for a connection where the default one raises. One more attempt is
        # for a connection that was closed while idle; redis-py's ten would take long.
        pool = BlockingConnectionPool.from_url(
            self.settings.redis_url.get_secret_value(),
            max_connections=self.settings.redis_max_connections,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            health_check_interval=30,
            retry=Retry(NoBackoff(), 1),
            # Before redis-py 6 nothing is tried again without this.
            retry_on_error=[ConnectionError],
        )
        return Redis.from_pool(pool)

    async def get_or_set(
        self, key: str, ttl: float, load: Load, tags: Collection[str] = ()
    ) -> Any:
        """Return the value of a key; load it if there is none.

        Of all tasks and processes that ask, one loads. The others wait for it, or get
        the last value if it is just out of date, but never one that was invalidated.

        Args:
            key: Its name.
            ttl: Seconds until it has to be loaded again, or up to a tenth less.
            load: Loads it. What it raises reaches the caller, and the next one tries.
            tags: What makes it invalid; the same ones at every call.

        Returns:
            The value as JSON can carry it, whether it was loaded or found.
        """
        entry, lock = f"{self.prefix}:value:{key}", f"{self.prefix}:lock:{key}"
        keys = [entry, lock, *map(self._tag, sorted(set(tags)))]
        token = token_hex(16)
        finished = asyncio.Event()
        deadline = time.monotonic() + self.settings.cache_patience
        try:
            while True:
                state, versions, value = await self._look_up(keys, ttl, token)
                if state == "hit":
                    try:
                        return from_json(value)
                    except ValueError:
                        # Nobody of us wrote this.
                        await self.delete(key)
                        continue
                if state == "load":
                    self._busy.setdefault(key, finished)
                    return await self._load(keys, ttl, load, token, versions)
                left = deadline - time.monotonic()
                if state == "away" or left <= 0:
                    return from_json(to_json(await load()))
                # One task of this process looks whether others are done.
                busy = self._busy.setdefault(key, finished)
                if busy is finished:
                    await asyncio.sleep(random.uniform(0.5, 1.5) * POLL)
                else:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(left):
                            await busy.wait()
        finally:
            if self._busy.get(key) is finished:
                del self._busy[key]
                finished.set()

    async def invalidate(self, *tags: str) -> None:
        """Make all entries with one of these tags invalid, also those being loaded.

        While Redis is away this is remembered, and done before anything else then.
        """
        if tags and self.enabled:
            self._owed.update(tags)
            await self._shielded(self._try(self._nothing))

    async def delete(self, key: str) -> None:
        """Remove one entry, also one that is being loaded."""
        names = (f"{self.prefix}:value:{key}", f"{self.prefix}:lock:{key}")
        await self._shielded(self._try(lambda: self.redis.delete(*names)))

    async def ping(self) -> None:
        """Ask Redis for an answer.

        Raises:
            CacheAway: There is none.
        """
        if not self.enabled:
            raise CacheAway(NO_ADDRESS)
        if not await self._try(self._pong, now=True):
            raise CacheAway("redis does not answer")

    async def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        redis = self.__dict__.pop("redis", None)
        if redis is not None:
            await redis.aclose()
            await redis.connection_pool.disconnect()

    async def __aenter__(self) -> Self:
        """Return the cache; nothing is opened yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self.close()

    @property
    def _lock_life(self) -> float:
        """Seconds; those who wait for a loader that died have some left after it."""
        return self.settings.cache_patience / 2

    def _tag(self, name: str) -> str:
        return f"{self.prefix}:tag:{name}"

    async def _look_up(
        self, keys: list[str], ttl: float, token: str
    ) -> tuple[str, bytes, bytes]:
        life = max(TAGS_KEPT, 2 * (ttl + STALE))
        arguments = (token, _ms(self._lock_life), _ms(life))
        found = await self._try(lambda: self._run(scripts.LOOK_UP, keys, *arguments))
        if found is None:
            return "away", b"", b""
        state, versions, value = map(_bytes, found)
        return state.decode(), versions, value

    async def _load(
        self, keys: list[str], ttl: float, load: Load, token: str, versions: bytes
    ) -> Any:
        mine = token.encode() + b" " + versions
        stored = False
        try:
            async with self._holding(keys[1], mine):
                value = to_json(await load())
            fresh = ttl * (1 - random.uniform(0, JITTER))
            times = (_ms(fresh), _ms(ttl + min(ttl, STALE)))
            await self._try(
                lambda: self._run(scripts.STORE, keys, token, versions, value, *times)
            )
            stored = True
            return from_json(value)
        finally:
            if not stored:
                await self._shielded(self._free(keys[1], mine))

    @asynccontextmanager
    async def _holding(self, lock: str, mine: bytes) -> AsyncIterator[None]:
        """Keep a lock while the block runs: it ends soon only if the process does."""
        life = self._lock_life

        async def renew() -> None:
            while True:
                await asyncio.sleep(life / 3)
                await self._try(
                    lambda: self._run(scripts.RENEW, [lock], mine, _ms(life))
                )

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()

    async def _free(self, lock: str, mine: bytes) -> None:
        await self._try(lambda: self._run(scripts.RENEW, [lock], mine, 0))

    def _run(self, script: str, keys: list[str], *arguments: Any) -> Awaitable[Any]:
        return self.redis.register_script(script)(keys=keys, args=arguments)

    async def _pong(self) -> bool:
        await self._run(scripts.PING, [])
        return True

    async def _nothing(self) -> None:
        """Do what is owed only."""

    async def _try(
        self,
        ask: Callable[[], Awaitable[Result]],
        *,
        now: bool = False,
    ) -> Result | None:
        """Ask Redis, or return None where it is away.

        After a failure nobody asks for a while; then one does, and it may be back.
        """
        if not self.enabled:
            return None
        if self._away and not now:
            if time.monotonic() < self._next_try:
                return None
            # So that the others do not wait with this one.
            self._next_try = time.monotonic() + self.settings.redis_timeout + PAUSE
        try:
            answer = await self._in_time(ask)
        except AWAY as error:
            self._next_try = time.monotonic() + PAUSE
            if not self._away:
                self._away = True
                logger.warning("redis is away: %s", self._said(error))
            return None
        if self._away:
            self._away = False
            logger.warning("redis is back")
        return answer

    async def _in_time(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        """Ask, and wait for an answer no longer than the timeout."""

        async def settle_and_ask() -> Result:
            await self._settle()
            return await ask()

        # In a task of its own: `asyncio.wait_for` of Python 3.11, which redis-py calls,
        # may swallow a cancellation, and with it a timeout around it (cpython#86296).
        asking = self._begin(settle_and_ask())
        try:
            done, _ = await asyncio.wait((asking,), timeout=self.settings.redis_timeout)
            if not done:
                raise TimeoutError
            return asking.result()
        finally:
            asking.cancel()

    async def _settle(self) -> None:
        """Do the invalidations that are owed."""
        if owed := list(self._owed):
            # At random, so that a version that was lost is never given again.
            versions = {self._tag(tag): token_hex(16) for tag in owed}
            async with self.redis.pipeline(transaction=True) as pipeline:
                for name, version in versions.items():
                    pipeline.set(name, version, px=_ms(TAGS_KEPT))
                await pipeline.execute()
            self._owed.difference_update(owed)

    async def _shielded(self, work: Coroutine[Any, Any, Any]) -> None:
        """Finish something also when the caller is cancelled."""
        await asyncio.shield(self._begin(work))

    def _begin(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Begin a task which `close` waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Nobody waits any more for what failed too late, and asyncio would log it.
            task.exception()

    def _said(self, error: BaseException) -> str:
        """Return what an error says, without the password."""
        said = str(error) or type(error).__name__
        url = self.settings.redis_url
        password = urlsplit(url.get_secret_value()).password if url else None
        for secret in {password, unquote(password)} if password else ():
            said = said.replace(secret, "***")
        return said


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _bytes(text: Any) -> bytes:
    return text.encode() if isinstance(text, str) else bytes(text)
