"""Tests of the cache client against a real Redis."""

import asyncio
import gc
import logging
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis

from {{cookiecutter.project_slug}}.cache import client
from {{cookiecutter.project_slug}}.cache.client import (
    Cache,
    CacheUnavailableError,
)
from {{cookiecutter.project_slug}}.cache.settings import (
    CacheSettings,
)

Start = Callable[[], subprocess.Popen[bytes]]


class Source:
    """Loader that counts its calls, and returns the count unless given a value."""

    def __init__(self, value: Any = None, *, seconds: float = 0) -> None:
        """Set the value and the duration of a load."""
        self.value = value
        self.seconds = seconds
        self.loads = 0
        self.started = asyncio.Event()

    async def __call__(self) -> Any:
        """Load the value."""
        self.loads += 1
        count = self.loads
        self.started.set()
        await asyncio.sleep(self.seconds)
        return count if self.value is None else self.value


async def test_value_is_loaded_once_and_then_cached(cache: Cache) -> None:
    source = Source()
    assert [await cache.get_or_set("key", 60, source) for _ in range(3)] == [1, 1, 1]
    assert source.loads == 1


async def test_none_is_cached(cache: Cache) -> None:
    loads = 0

    async def load() -> None:
        nonlocal loads
        loads += 1

    assert await cache.get_or_set("key", 60, load) is None
    assert await cache.get_or_set("key", 60, load) is None
    assert loads == 1


async def test_loaded_value_equals_the_cached_one(cache: Cache) -> None:
    source = Source({"at": datetime(2026, 1, 1, tzinfo=UTC), "pair": (1, "ä\0")})
    loaded = await cache.get_or_set("key", 60, source)
    assert loaded == {"at": "2026-01-01T00:00:00Z", "pair": [1, "ä\0"]}
    assert await cache.get_or_set("key", 60, source) == loaded


async def test_cache_versions_share_no_entries(
    cache: Cache, cache_settings: CacheSettings
) -> None:
    await cache.get_or_set("key", 60, Source("old"))
    changes = {"cache_version": f"{cache_settings.cache_version}-2"}
    async with Cache(cache_settings.model_copy(update=changes)) as other:
        assert await other.get_or_set("key", 60, Source("new")) == "new"


async def test_corrupt_entry_is_loaded_again(cache: Cache) -> None:
    await cache.get_or_set("key", 60, Source("good"))
    await cache.redis.hset(f"{cache.prefix}:value:key", "value", "{")
    assert await cache.get_or_set("key", 60, Source("again")) == "again"
    assert await cache.get_or_set("key", 60, Source("never")) == "again"


async def test_200_concurrent_misses_load_once(cache: Cache) -> None:
    source = Source(seconds=0.2)
    values = await asyncio.gather(
        *(cache.get_or_set("key", 60, source) for _ in range(200))
    )
    assert set(values) == {1}
    assert source.loads == 1


async def test_concurrent_processes_load_once(
    cache: Cache, cache_settings: CacheSettings
) -> None:
    # Two clients stand for two processes: they share nothing but Redis.
    source = Source(seconds=0.3)
    async with Cache(cache_settings) as other:
        values = await asyncio.gather(
            *(each.get_or_set("key", 60, source) for each in [cache, other] * 25)
        )
    assert set(values) == {1}
    assert source.loads == 1


async def test_stale_value_is_served_while_one_caller_refreshes_it(
    cache: Cache,
) -> None:
    await cache.get_or_set("key", 0.2, Source("old"))
    await asyncio.sleep(0.21)
    source = Source("new", seconds=0.1)
    refreshing = asyncio.create_task(cache.get_or_set("key", 60, source))
    await source.started.wait()
    assert await cache.get_or_set("key", 60, Source("never")) == "old"
    assert await refreshing == "new"
    assert await cache.get_or_set("key", 60, Source("never")) == "new"


async def test_jitter_spreads_the_expiry_of_entries(
    cache: Cache,
) -> None:
    for number in range(20):
        await cache.get_or_set(f"key{number}", 100, Source())
    names = [f"{cache.prefix}:value:key{number}" for number in range(20)]
    ends = [float(await cache.redis.hget(name, "fresh") or 0) for name in names]
    assert max(ends) - min(ends) > 1000
    lives = [await cache.redis.pttl(name) for name in names]
    assert all(0 < life <= 160_000 for life in lives)


async def test_failed_load_raises_and_the_next_caller_loads(
    cache: Cache,
) -> None:
    async def fail() -> None:
        raise RuntimeError("load failed")

    with pytest.raises(RuntimeError, match="load failed"):
        await cache.get_or_set("key", 60, fail)
    start = time.monotonic()
    assert await cache.get_or_set("key", 60, Source()) == 1
    # A lock that was not released would block for its timeout of five seconds.
    assert time.monotonic() - start < 4


async def test_cancelled_load_releases_its_lock(
    cache: Cache,
) -> None:
    source = Source(seconds=30)
    loading = asyncio.create_task(cache.get_or_set("key", 60, source))
    await source.started.wait()
    waiting = asyncio.create_task(cache.get_or_set("key", 60, Source("next")))
    await asyncio.sleep(0.1)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    async with asyncio.timeout(2):
        assert await waiting == "next"


async def test_lock_of_a_dead_process_expires(
    cache: Cache, cache_settings: CacheSettings
) -> None:
    changes = {"cache_lock_timeout": 2.0}
    async with Cache(cache_settings.model_copy(update=changes)) as other:
        # Take the lock, and never load.
        keys = [f"{cache.prefix}:value:key", f"{cache.prefix}:lock:key"]
        state, _, _ = await other._look_up(keys, 60, "0" * 32)
        assert state == "load"
        source = Source(seconds=0.05)
        start = time.monotonic()
        values = [other.get_or_set("key", 60, source) for _ in range(20)]
        assert set(await asyncio.gather(*values)) == {1}
        assert time.monotonic() - start > 0.8
        assert source.loads == 1


async def test_waiter_loads_itself_after_the_lock_timeout(
    cache: Cache, cache_settings: CacheSettings
) -> None:
    changes = {"cache_lock_timeout": 0.3}
    async with Cache(cache_settings.model_copy(update=changes)) as other:
        slow = Source("slow", seconds=1.2)
        loading = asyncio.create_task(other.get_or_set("key", 60, slow))
        await slow.started.wait()
        assert await other.get_or_set("key", 60, Source("own")) == "own"
        # The slow loader has renewed its lock, so its value is the one stored.
        assert await loading == "slow"
        assert await other.get_or_set("key", 60, Source("never")) == "slow"


async def test_tag_invalidates_its_entries_and_no_others(cache: Cache) -> None:
    async def values(number: int) -> list[Any]:
        source = Source(number)
        return [
            await cache.get_or_set("a", 60, source, tags=["x"]),
            await cache.get_or_set("b", 60, source, tags=["y", "x"]),
            await cache.get_or_set("c", 60, source, tags=["y"]),
            await cache.get_or_set("d", 60, source),
        ]

    assert await values(1) == [1, 1, 1, 1]
    await cache.invalidate("x")
    assert await values(2) == [2, 2, 1, 1]
    await cache.invalidate("y", "x")
    assert await values(3) == [3, 3, 3, 1]


async def test_value_loaded_before_invalidation_is_not_served_after(
    cache: Cache,
) -> None:
    slow = Source("before", seconds=1)
    loading = asyncio.create_task(cache.get_or_set("key", 60, slow, tags=["tag"]))
    await slow.started.wait()
    await cache.invalidate("tag")
    # A new caller does not wait for a value that is already invalid.
    after = Source("after")
    assert await cache.get_or_set("key", 60, after, tags=["tag"]) == "after"
    assert not loading.done()
    assert await loading == "before"
    assert await cache.get_or_set("key", 60, after, tags=["tag"]) == "after"
    assert after.loads == 1


async def test_value_invalidated_during_its_load_is_not_stored(cache: Cache) -> None:
    slow = Source("before", seconds=0.1)
    loading = asyncio.create_task(cache.get_or_set("key", 60, slow, tags=["tag"]))
    await slow.started.wait()
    await cache.invalidate("tag")
    await loading
    assert await cache.get_or_set("key", 60, Source("after"), tags=["tag"]) == "after"


async def test_invalidated_stale_value_is_not_served(
    cache: Cache,
) -> None:
    await cache.get_or_set("key", 0.1, Source("old"), tags=["tag"])
    await asyncio.sleep(0.11)
    await cache.invalidate("tag")
    source = Source("new", seconds=0.1)
    loading = asyncio.create_task(cache.get_or_set("key", 60, source, tags=["tag"]))
    await source.started.wait()
    assert await cache.get_or_set("key", 60, source, tags=["tag"]) == "new"
    assert await loading == "new"


async def test_evicted_tag_version_invalidates_its_entries(
    cache: Cache,
) -> None:
    await cache.get_or_set("key", 60, Source("old"), tags=["tag"])
    await cache.redis.delete(f"{cache.prefix}:tag:tag")
    assert await cache.get_or_set("key", 60, Source("new"), tags=["tag"]) == "new"


async def test_value_deleted_during_its_load_is_not_stored(cache: Cache) -> None:
    slow = Source("before", seconds=0.1)
    loading = asyncio.create_task(cache.get_or_set("key", 60, slow))
    await slow.started.wait()
    await cache.delete("key")
    await loading
    assert await cache.get_or_set("key", 60, Source("after")) == "after"
    await cache.delete("key")
    assert await cache.get_or_set("key", 60, Source("last")) == "last"


async def test_hit_is_one_command(start_redis: Start, own_cache: Cache) -> None:
    start_redis()
    await own_cache.get_or_set("key", 60, Source(), tags=["x", "y", "z"])
    await own_cache.redis.config_resetstat()
    for _ in range(10):
        await own_cache.get_or_set("key", 60, Source(), tags=["x", "y", "z"])
    stats = await own_cache.redis.info("commandstats")
    # Commands inside a script count as well, but take no round trip.
    expected = {"cmdstat_get", "cmdstat_hmget", "cmdstat_time", "cmdstat_evalsha"}
    assert stats["cmdstat_evalsha"]["calls"] == 10
    assert stats.keys() - expected <= {"cmdstat_config|resetstat", "cmdstat_info"}


async def test_nothing_connects_before_the_first_call(own_port: int) -> None:
    settings = CacheSettings(
        _env_file=None, redis_url=f"redis://127.0.0.1:{own_port}/0"
    )
    async with Cache(settings) as cache:
        assert "redis" not in vars(cache)


async def test_every_call_loads_without_redis_url() -> None:
    async with Cache(CacheSettings(_env_file=None)) as cache:
        source = Source()
        await cache.invalidate("tag")
        await cache.delete("key")
        assert await cache.get_or_set("key", 60, source) == 1
        assert await cache.get_or_set("key", 60, source) == 2
        with pytest.raises(CacheUnavailableError, match="set REDIS_URL"):
            await cache.ping()


async def test_every_call_loads_during_an_outage_logged_once(
    start_redis: Start,
    own_cache: Cache,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "RETRY_AFTER_SECONDS", 0.2)
    process = start_redis()
    assert await own_cache.get_or_set("key", 60, Source("stored")) == "stored"
    process.terminate()
    process.wait()
    source = Source()
    for number in range(1, 11):
        assert await own_cache.get_or_set("key", 60, source) == number
        await asyncio.sleep(0.05)
    with pytest.raises(CacheUnavailableError, match="does not respond"):
        await own_cache.ping()
    start_redis()
    await asyncio.sleep(0.25)
    assert await own_cache.get_or_set("key", 60, Source("back")) == "back"
    assert await own_cache.get_or_set("key", 60, Source("never")) == "back"
    await own_cache.ping()
    logged = [(each.levelno, each.getMessage()) for each in caplog.records]
    assert len(logged) == 2
    assert logged[0][0] == logging.WARNING
    assert logged[0][1].startswith("redis is unavailable: ")
    assert logged[1] == (logging.WARNING, "redis is available again")


async def test_hanging_redis_costs_each_task_at_most_one_timeout(
    start_redis: Start, own_cache: Cache
) -> None:
    process = start_redis()
    await own_cache.get_or_set("key", 60, Source("stored"))
    process.send_signal(signal.SIGSTOP)
    source = Source()
    start = time.monotonic()
    await asyncio.gather(*(own_cache.get_or_set("key", 60, source) for _ in range(50)))
    # Fifty timeouts in sequence would take 50 seconds.
    assert time.monotonic() - start < 20
    start = time.monotonic()
    for _ in range(50):
        await own_cache.get_or_set("key", 60, source)
    assert time.monotonic() - start < 20
    assert source.loads == 100
    process.send_signal(signal.SIGCONT)
    await own_cache.ping()
    assert await own_cache.get_or_set("key", 60, source) == "stored"


async def test_timeout_holds_if_a_cancellation_is_swallowed(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    released = asyncio.Event()

    async def execute(*_: Any, **__: Any) -> None:
        # As `asyncio.wait_for` of Python 3.11 does at times.
        with suppress(asyncio.CancelledError):
            await released.wait()
        await released.wait()
        raise ConnectionError("too late")

    monkeypatch.setattr(Redis, "execute_command", execute)
    task = asyncio.create_task(cache.get_or_set("key", 60, Source()))
    done, _ = await asyncio.wait([task], timeout=10)
    released.set()
    assert done
    await asyncio.sleep(0.1)
    gc.collect()
    assert [each.getMessage() for each in caplog.records] == [
        "redis is unavailable: TimeoutError"
    ]


async def test_pending_invalidation_is_sent_after_an_outage(
    start_redis: Start, own_cache: Cache
) -> None:
    process = start_redis()
    await own_cache.get_or_set("key", 60, Source("old"), tags=["tag"])
    process.send_signal(signal.SIGSTOP)
    await own_cache.invalidate("tag")
    await own_cache.invalidate("tag")
    process.send_signal(signal.SIGCONT)
    await own_cache.ping()
    assert await own_cache.get_or_set("key", 60, Source("new"), tags=["tag"]) == "new"


async def test_restart_of_redis_between_calls_goes_unnoticed(
    start_redis: Start, own_cache: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    process = start_redis()
    await asyncio.gather(
        *(own_cache.get_or_set(f"{n}", 60, Source()) for n in range(9))
    )
    process.terminate()
    process.wait()
    start_redis()
    assert await own_cache.get_or_set("key", 60, Source("stored")) == "stored"
    assert await own_cache.get_or_set("key", 60, Source("never")) == "stored"
    assert not caplog.records


async def test_tasks_wait_for_a_free_connection(
    cache_settings: CacheSettings, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {"redis_max_connections": 2}
    async with Cache(cache_settings.model_copy(update=changes)) as cache:
        source = Source(1)

        def ask(number: int) -> Awaitable[Any]:
            return cache.get_or_set(f"{number % 10}", 60, source)

        await asyncio.gather(*map(ask, range(200)))
    assert source.loads == 10
    assert not caplog.records


async def test_log_hides_the_password(
    start_redis: Start, own_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    start_redis()
    settings = CacheSettings(
        _env_file=None, redis_url=f"redis://user:s3cr%2Ft@127.0.0.1:{own_port}"
    )
    async with Cache(settings) as cache:
        assert await cache.get_or_set("key", 60, Source()) == 1
    assert "redis is unavailable" in caplog.text
    assert "s3cr" not in caplog.text


async def test_cancelled_invalidation_is_completed(
    start_redis: Start, own_cache: Cache
) -> None:
    start_redis()
    await own_cache.get_or_set("key", 60, Source("old"), tags=["tag"])
    invalidating = asyncio.create_task(own_cache.invalidate("tag"))
    await asyncio.sleep(0)
    invalidating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await invalidating
    assert await own_cache.get_or_set("key", 60, Source("new"), tags=["tag"]) == "new"
