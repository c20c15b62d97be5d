"""The cache client: load a value once, share it until it expires or is invalidated."""

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

from . import lua
from .settings import CacheSettings

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

Loader = Callable[[], Awaitable[Any]]

RETRY_AFTER_SECONDS = 1.0
"""Backoff after a failed request; until then Redis is not asked."""

TTL_JITTER = 0.1
"""Fraction by which TTLs are randomly shortened, so entries do not expire together."""

STALE_WHILE_REVALIDATE_SECONDS = 60.0
"""Maximum time a stale value is served while one caller refreshes it."""

TAG_TTL_SECONDS = 86400.0
"""Minimum TTL of a tag's version; entries are invalid once it has expired."""

POLL_INTERVAL_SECONDS = 0.03
"""Average interval at which a waiter looks for a value that another process loads."""

# redis-py raises RedisError, asyncio raises OSError (TimeoutError is one).
REDIS_ERRORS = (RedisError, OSError)

NOT_CONFIGURED = "set REDIS_URL to enable the cache"


class CacheUnavailableError(Exception):
    """Redis is not configured or does not respond."""


class Cache:
    """Values in Redis, each loaded by one caller and shared by all.

    `async with Cache(settings) as cache:` closes the connections at the end; the first
    call opens them. While Redis is unavailable or not configured, each call loads its
    value, and only `ping` raises.
    """

    def __init__(self, settings: CacheSettings) -> None:
        """Keep the settings; nothing connects yet."""
        package = __name__.partition(".")[0]
        self.settings = settings
        self.prefix = f"{package}:{settings.cache_version}"
        self._unavailable = False
        self._next_attempt = 0.0
        self._pending_invalidations: set[str] = set()
        self._inflight: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def enabled(self) -> bool:
        """True if `REDIS_URL` is set."""
        return self.settings.redis_url is not None

    @cached_property
    def redis(self) -> Redis:
        """The redis-py client, for commands that the cache does not offer."""
        if self.settings.redis_url is None:
            raise CacheUnavailableError(NOT_CONFIGURED)
        timeout = self.settings.redis_timeout
        # redis-py's default pool raises when it is full; this one waits. One retry
        # replaces a connection that was closed while idle; the default of ten
        # retries would exceed the timeout.
        pool = BlockingConnectionPool.from_url(
            self.settings.redis_url.get_secret_value(),
            max_connections=self.settings.redis_max_connections,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            health_check_interval=30,
            retry=Retry(NoBackoff(), 1),
            # redis-py 5 retries only the errors named here.
            retry_on_error=[ConnectionError],
        )
        return Redis.from_pool(pool)

    async def get_or_set(
        self, key: str, ttl: float, load: Loader, tags: Collection[str] = ()
    ) -> Any:
        """Return the value of a key from the cache, or load and store it.

        Of all callers in all processes, one loads. The others wait for its value, or
        get the stale one if it has just expired (stale-while-revalidate). A value that
        was invalidated is never returned.

        Args:
            key: Name of the entry.
            ttl: Seconds for which the value is fresh, less up to 10 % of jitter.
            load: Coroutine function that computes the value. An error that it raises
                reaches its own caller; the next caller loads again.
            tags: Names by which `invalidate` finds the entry; the same in every call.

        Returns:
            The value as JSON represents it, both when loaded and when cached.
        """
        entry, lock = f"{self.prefix}:value:{key}", f"{self.prefix}:lock:{key}"
        keys = [entry, lock, *map(self._tag_key, sorted(set(tags)))]
        token = token_hex(16)
        finished = asyncio.Event()
        deadline = time.monotonic() + self.settings.cache_lock_timeout
        try:
            while True:
                state, versions, value = await self._look_up(keys, ttl, token)
                if state == "hit":
                    try:
                        return from_json(value)
                    except ValueError:
                        # Another program has written this entry.
                        await self.delete(key)
                        continue
                if state == "load":
                    self._inflight.setdefault(key, finished)
                    return await self._load(keys, ttl, load, token, versions)
                remaining = deadline - time.monotonic()
                if state == "unavailable" or remaining <= 0:
                    return from_json(to_json(await load()))
                # One task per process polls Redis; the others wait for that task.
                inflight = self._inflight.setdefault(key, finished)
                if inflight is finished:
                    await asyncio.sleep(
                        random.uniform(0.5, 1.5) * POLL_INTERVAL_SECONDS
                    )
                else:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(remaining):
                            await inflight.wait()
        finally:
            if self._inflight.get(key) is finished:
                del self._inflight[key]
                finished.set()

    async def invalidate(self, *tags: str) -> None:
        """Invalidate all entries with any of the tags, including those being loaded.

        While Redis is unavailable, the tags are kept and sent before the next request.
        """
        if tags and self.enabled:
            self._pending_invalidations.update(tags)
            await self._shielded(self._guarded(self._flush_invalidations))

    async def delete(self, key: str) -> None:
        """Delete one entry; a value being loaded for it is not stored."""
        names = (f"{self.prefix}:value:{key}", f"{self.prefix}:lock:{key}")
        await self._shielded(self._guarded(lambda: self.redis.delete(*names)))

    async def ping(self) -> None:
        """Check that Redis responds, without waiting for the backoff.

        Raises:
            CacheUnavailableError: Redis is not configured or does not respond.
        """
        if not self.enabled:
            raise CacheUnavailableError(NOT_CONFIGURED)
        if await self._guarded(self._ping, force=True) is None:
            raise CacheUnavailableError("redis does not respond")

    async def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        redis = self.__dict__.pop("redis", None)
        if redis is not None:
            await redis.aclose()
            await redis.connection_pool.disconnect()

    async def __aenter__(self) -> Self:
        """Return the cache; nothing connects yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self.close()

    @property
    def _lock_ttl(self) -> float:
        """TTL in seconds: if an owner dies, waiters still have time to load."""
        return self.settings.cache_lock_timeout / 2

    def _tag_key(self, tag: str) -> str:
        return f"{self.prefix}:tag:{tag}"

    async def _look_up(
        self, keys: list[str], ttl: float, token: str
    ) -> tuple[str, bytes, bytes]:
        tag_ttl = max(TAG_TTL_SECONDS, 2 * (ttl + STALE_WHILE_REVALIDATE_SECONDS))
        arguments = (token, _milliseconds(self._lock_ttl), _milliseconds(tag_ttl))
        reply = await self._guarded(
            lambda: self._run_script(lua.LOOK_UP, keys, *arguments)
        )
        if reply is None:
            return "unavailable", b"", b""
        state, versions, value = map(_bytes, reply)
        return state.decode(), versions, value

    async def _load(
        self, keys: list[str], ttl: float, load: Loader, token: str, versions: bytes
    ) -> Any:
        owner = token.encode() + b" " + versions
        stored = False
        try:
            async with self._renewing(keys[1], owner):
                value = to_json(await load())
            fresh = ttl * (1 - random.uniform(0, TTL_JITTER))
            kept = ttl + min(ttl, STALE_WHILE_REVALIDATE_SECONDS)
            ttls = (_milliseconds(fresh), _milliseconds(kept))
            await self._guarded(
                lambda: self._run_script(lua.STORE, keys, token, versions, value, *ttls)
            )
            stored = True
            return from_json(value)
        finally:
            if not stored:
                await self._shielded(self._release(keys[1], owner))

    @asynccontextmanager
    async def _renewing(self, lock: str, owner: bytes) -> AsyncIterator[None]:
        """Renew a lock while the block runs, so it expires only if the process dies."""
        ttl = self._lock_ttl

        async def renew() -> None:
            while True:
                await asyncio.sleep(ttl / 3)
                await self._guarded(
                    lambda: self._run_script(
                        lua.RENEW, [lock], owner, _milliseconds(ttl)
                    )
                )

        task = asyncio.create_task(renew())
        try:
            yield
        finally:
            task.cancel()

    async def _release(self, lock: str, owner: bytes) -> None:
        await self._guarded(lambda: self._run_script(lua.RENEW, [lock], owner, 0))

    def _run_script(
        self, script: str, keys: list[str], *arguments: Any
    ) -> Awaitable[Any]:
        return self.redis.register_script(script)(keys=keys, args=arguments)

    def _ping(self) -> Awaitable[Any]:
        return self._run_script(lua.PING, [])

    async def _guarded(
        self,
        request: Callable[[], Awaitable[Result]],
        *,
        force: bool = False,
    ) -> Result | None:
        """Send a request to Redis, or return None while it is unavailable.

        After a failure, requests are skipped for `RETRY_AFTER_SECONDS`; then a single
        one tries again, unless `force` sends this one now.
        """
        if not self.enabled:
            return None
        if self._unavailable and not force:
            if time.monotonic() < self._next_attempt:
                return None
            # Skip the requests that arrive while this one waits for its timeout.
            backoff = self.settings.redis_timeout + RETRY_AFTER_SECONDS
            self._next_attempt = time.monotonic() + backoff
        try:
            reply = await self._with_timeout(request)
        except REDIS_ERRORS as error:
            self._next_attempt = time.monotonic() + RETRY_AFTER_SECONDS
            if not self._unavailable:
                self._unavailable = True
                logger.warning("redis is unavailable: %s", self._redact(error))
            return None
        if self._unavailable:
            self._unavailable = False
            logger.warning("redis is available again")
        return reply

    async def _with_timeout(self, request: Callable[[], Awaitable[Result]]) -> Result:
        """Send the pending invalidations and a request within `REDIS_TIMEOUT`."""

        async def flush_and_send() -> Result:
            await self._flush_invalidations()
            return await request()

        # In a separate task: redis-py calls `asyncio.wait_for`, which on Python 3.11
        # may swallow a cancellation, and with it an outer timeout (cpython#86296).
        task = self._start_task(flush_and_send())
        try:
            done, _ = await asyncio.wait((task,), timeout=self.settings.redis_timeout)
            if not done:
                raise TimeoutError
            return task.result()
        finally:
            task.cancel()

    async def _flush_invalidations(self) -> None:
        """Give each pending tag a new version, in one round trip."""
        if tags := list(self._pending_invalidations):
            # Random versions: a counter that Redis lost would repeat old ones.
            versions = {self._tag_key(tag): token_hex(16) for tag in tags}
            async with self.redis.pipeline(transaction=True) as pipeline:
                for name, version in versions.items():
                    pipeline.set(name, version, px=_milliseconds(TAG_TTL_SECONDS))
                await pipeline.execute()
            self._pending_invalidations.difference_update(tags)

    async def _shielded(self, work: Coroutine[Any, Any, Any]) -> None:
        """Finish some work even if the caller is cancelled."""
        await asyncio.shield(self._start_task(work))

    def _start_task(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Start a task that `close` waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._discard_task)
        return task

    def _discard_task(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Retrieve the error of a task that timed out, or asyncio would log it.
            task.exception()

    def _redact(self, error: BaseException) -> str:
        """Return the message of an error without the password of `REDIS_URL`."""
        message = str(error) or type(error).__name__
        url = self.settings.redis_url
        password = urlsplit(url.get_secret_value()).password if url else None
        for secret in {password, unquote(password)} if password else ():
            message = message.replace(secret, "***")
        return message


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _bytes(text: Any) -> bytes:
    return text.encode() if isinstance(text, str) else bytes(text)
