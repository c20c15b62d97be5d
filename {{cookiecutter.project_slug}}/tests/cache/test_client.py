"""Tests of the cache, in a real Redis."""

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
    CacheAway,
)
from {{cookiecutter.project_slug}}.cache.settings import (
    CacheSettings,
)

Start = Callable[[], subprocess.Popen[bytes]]


class Source:
    """Where values come from; it counts, and gives the count if nothing else."""

    def __init__(self, value: Any = None, *, seconds: float = 0) -> None:
        """Begin at 0."""
        self.value = value
        self.seconds = seconds
        self.loads = 0
        self.begun = asyncio.Event()

    async def __call__(self) -> Any:
        """Load."""
        self.loads += 1
        count = self.loads
        self.begun.set()
        await asyncio.sleep(self.seconds)
        return count if self.value is None else self.value


async def test_a_value_is_loaded_once_and_then_found(cache: Cache) -> None:
    source = Source()
    assert [await cache.get_or_set("key", 60, source) for _ in range(3)] == [1, 1, 1]
    assert source.loads == 1


async def test_nothing_is_a_value_too(cache: Cache) -> None:
    loads = 0

    async def load() -> None:
        nonlocal loads
        loads += 1

    assert await cache.get_or_set("key", 60, load) is None
    assert await cache.get_or_set("key", 60, load) is None
    assert loads == 1


async def test_what_was_loaded_looks_like_what_is_found(cache: Cache) -> None:
    source = Source({"at": datetime(2026, 1, 1, tzinfo=UTC), "pair": (1, "ä\0")})
    loaded = await cache.get_or_set("key", 60, source)
    assert loaded == {"at": "2026-01-01T00:00:00Z", "pair": [1, "ä\0"]}
    assert await cache.get_or_set("key", 60, source) == loaded


async def test_another_version_does_not_read_it(
    cache: Cache, cache_settings: CacheSettings
) -> None:
    await cache.get_or_set("key", 60, Source("old"))
    changes = {"cache_version": f"{cache_settings.cache_version}-2"}
    async with Cache(cache_settings.model_copy(update=changes)) as other:
        assert await other.get_or_set("key", 60, Source("new")) == "new"


async def test_an_entry_that_cannot_be_read_is_loaded_again(cache: Cache) -> None:
    await cache.get_or_set("key", 60, Source("good"))
    await cache.redis.hset(f"{cache.prefix}:value:key", "value", "{")
    assert await cache.get_or_set("key", 60, Source("again")) == "again"
    assert await cache.get_or_set("key", 60, Source("never")) == "again"


async def test_200_tasks_that_miss_load_once(cache: Cache) -> None:
    source = Source(seconds=0.2)
    values = await asyncio.gather(
        *(cache.get_or_set("key", 60, source) for _ in range(200))
    )
    assert set(values) == {1}
    assert source.loads == 1


async def test_several_processes_load_once(
    cache: Cache, cache_settings: CacheSettings
) -> None:
    # A cache knows nothing of another one but through Redis.
    source = Source(seconds=0.3)
    async with Cache(cache_settings) as other:
        values = await asyncio.gather(
            *(each.get_or_set("key", 60, source) for each in [cache, other] * 25)
        )
    assert set(values) == {1}
    assert source.loads == 1


async def test_an_old_value_is_served_while_one_loads_the_next(cache: Cache) -> None:
    await cache.get_or_set("key", 0.2, Source("old"))
    await asyncio.sleep(0.21)
    source = Source("new", seconds=0.1)
    refreshing = asyncio.create_task(cache.get_or_set("key", 60, source))
    await source.begun.wait()
    assert await cache.get_or_set("key", 60, Source("never")) == "old"
    assert await refreshing == "new"
    assert await cache.get_or_set("key", 60, Source("never")) == "new"


async def test_entries_that_are_stored_together_do_not_end_together(
    cache: Cache,
) -> None:
    for number in range(20):
        await cache.get_or_set(f"key{number}", 100, Source())
    names = [f"{cache.prefix}:value:key{number}" for number in range(20)]
    ends = [float(await cache.redis.hget(name, "fresh") or 0) for name in names]
    assert max(ends) - min(ends) > 1000
    lives = [await cache.redis.pttl(name) for name in names]
    assert all(0 < life <= 160_000 for life in lives)


async def test_what_loading_raises_reaches_its_caller_and_the_next_one_tries(
    cache: Cache,
) -> None:
    async def fail() -> None:
        raise RuntimeError("something goes wrong")

    with pytest.raises(RuntimeError, match="something goes wrong"):
        await cache.get_or_set("key", 60, fail)
    began = time.monotonic()
    assert await cache.get_or_set("key", 60, Source()) == 1
    # Who waits for a loader that is gone waits for five seconds.
    assert time.monotonic() - began < 4


async def test_who_is_cancelled_while_loading_lets_the_next_one_load(
    cache: Cache,
) -> None:
    source = Source(seconds=30)
    loading = asyncio.create_task(cache.get_or_set("key", 60, source))
    await source.begun.wait()
    waiting = asyncio.create_task(cache.get_or_set("key", 60, Source("next")))
    await asyncio.sleep(0.1)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    async with asyncio.timeout(2):
        assert await waiting == "next"


async def test_who_dies_while_loading_holds_the_others_up_only_for_a_while(
    cache: Cache, cache_settings: CacheSettings
) -> None:
    changes = {"cache_patience": 0.5}
    async with Cache(cache_settings.model_copy(update=changes)) as other:
        # It takes the lock, and is never heard of again.
        keys = [f"{cache.prefix}:value:key", f"{cache.prefix}:lock:key"]
        state, _, _ = await other._look_up(keys, 60, "0" * 32)
        assert state == "load"
        source = Source(seconds=0.05)
        began = time.monotonic()
        values = [other.get_or_set("key", 60, source) for _ in range(20)]
        assert set(await asyncio.gather(*values)) == {1}
        assert time.monotonic() - began > 0.2
        assert source.loads == 1


async def test_who_waits_for_too_long_loads_itself(
    cache: Cache, cache_settings: CacheSettings
) -> None:
    changes = {"cache_patience": 0.3}
    async with Cache(cache_settings.model_copy(update=changes)) as other:
        slow = Source("slow", seconds=1.2)
        loading = asyncio.create_task(other.get_or_set("key", 60, slow))
        await slow.begun.wait()
        assert await other.get_or_set("key", 60, Source("own")) == "own"
        # The slow one lives, and so has kept its lock: its value is the one stored.
        assert await loading == "slow"
        assert await other.get_or_set("key", 60, Source("never")) == "slow"


async def test_a_tag_makes_all_its_entries_invalid_and_no_others(cache: Cache) -> None:
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


async def test_what_was_loaded_before_an_invalidation_is_not_served_after_it(
    cache: Cache,
) -> None:
    slow = Source("before", seconds=1)
    loading = asyncio.create_task(cache.get_or_set("key", 60, slow, tags=["tag"]))
    await slow.begun.wait()
    await cache.invalidate("tag")
    # Who asks now does not wait for what is loaded in vain.
    after = Source("after")
    assert await cache.get_or_set("key", 60, after, tags=["tag"]) == "after"
    assert not loading.done()
    assert await loading == "before"
    assert await cache.get_or_set("key", 60, after, tags=["tag"]) == "after"
    assert after.loads == 1


async def test_what_is_loaded_in_vain_is_not_stored(cache: Cache) -> None:
    slow = Source("before", seconds=0.1)
    loading = asyncio.create_task(cache.get_or_set("key", 60, slow, tags=["tag"]))
    await slow.begun.wait()
    await cache.invalidate("tag")
    await loading
    assert await cache.get_or_set("key", 60, Source("after"), tags=["tag"]) == "after"


async def test_an_old_value_that_was_invalidated_is_not_served_either(
    cache: Cache,
) -> None:
    await cache.get_or_set("key", 0.1, Source("old"), tags=["tag"])
    await asyncio.sleep(0.11)
    await cache.invalidate("tag")
    source = Source("new", seconds=0.1)
    loading = asyncio.create_task(cache.get_or_set("key", 60, source, tags=["tag"]))
    await source.begun.wait()
    assert await cache.get_or_set("key", 60, source, tags=["tag"]) == "new"
    assert await loading == "new"


async def test_a_version_that_redis_has_lost_makes_entries_invalid(
    cache: Cache,
) -> None:
    await cache.get_or_set("key", 60, Source("old"), tags=["tag"])
    await cache.redis.delete(f"{cache.prefix}:tag:tag")
    assert await cache.get_or_set("key", 60, Source("new"), tags=["tag"]) == "new"


async def test_what_was_deleted_while_it_was_loaded_is_not_stored(cache: Cache) -> None:
    slow = Source("before", seconds=0.1)
    loading = asyncio.create_task(cache.get_or_set("key", 60, slow))
    await slow.begun.wait()
    await cache.delete("key")
    await loading
    assert await cache.get_or_set("key", 60, Source("after")) == "after"
    await cache.delete("key")
    assert await cache.get_or_set("key", 60, Source("last")) == "last"


async def test_a_hit_is_one_command(start_redis: Start, own_cache: Cache) -> None:
    start_redis()
    await own_cache.get_or_set("key", 60, Source(), tags=["x", "y", "z"])
    await own_cache.redis.config_resetstat()
    for _ in range(10):
        await own_cache.get_or_set("key", 60, Source(), tags=["x", "y", "z"])
    stats = await own_cache.redis.info("commandstats")
    # What a script calls is counted as well, but takes no round trip.
    asked = {"cmdstat_get", "cmdstat_hmget", "cmdstat_time", "cmdstat_evalsha"}
    assert stats["cmdstat_evalsha"]["calls"] == 10
    assert stats.keys() - asked <= {"cmdstat_config|resetstat", "cmdstat_info"}


async def test_nothing_is_opened_until_it_is_used(own_port: int) -> None:
    settings = CacheSettings(
        _env_file=None, redis_url=f"redis://127.0.0.1:{own_port}/0"
    )
    async with Cache(settings) as cache:
        assert "redis" not in vars(cache)


async def test_without_an_address_everything_is_loaded() -> None:
    async with Cache(CacheSettings(_env_file=None)) as cache:
        source = Source()
        await cache.invalidate("tag")
        await cache.delete("key")
        assert await cache.get_or_set("key", 60, source) == 1
        assert await cache.get_or_set("key", 60, source) == 2
        with pytest.raises(CacheAway, match="set REDIS_URL"):
            await cache.ping()


async def test_while_redis_is_away_everything_is_loaded_and_it_is_said_once(
    start_redis: Start,
    own_cache: Cache,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "PAUSE", 0.2)
    process = start_redis()
    assert await own_cache.get_or_set("key", 60, Source("stored")) == "stored"
    process.terminate()
    process.wait()
    source = Source()
    for number in range(1, 11):
        assert await own_cache.get_or_set("key", 60, source) == number
        await asyncio.sleep(0.05)
    with pytest.raises(CacheAway, match="does not answer"):
        await own_cache.ping()
    start_redis()
    await asyncio.sleep(0.25)
    assert await own_cache.get_or_set("key", 60, Source("back")) == "back"
    assert await own_cache.get_or_set("key", 60, Source("never")) == "back"
    await own_cache.ping()
    said = [(each.levelno, each.getMessage()) for each in caplog.records]
    assert len(said) == 2
    assert said[0][0] == logging.WARNING
    assert said[0][1].startswith("redis is away: ")
    assert said[1] == (logging.WARNING, "redis is back")


async def test_a_redis_that_hangs_costs_each_task_one_timeout_at_most(
    start_redis: Start, own_cache: Cache
) -> None:
    process = start_redis()
    await own_cache.get_or_set("key", 60, Source("stored"))
    process.send_signal(signal.SIGSTOP)
    source = Source()
    began = time.monotonic()
    await asyncio.gather(*(own_cache.get_or_set("key", 60, source) for _ in range(50)))
    # Fifty timeouts, one after the other, are 50 seconds.
    assert time.monotonic() - began < 20
    began = time.monotonic()
    for _ in range(50):
        await own_cache.get_or_set("key", 60, source)
    assert time.monotonic() - began < 20
    assert source.loads == 100
    process.send_signal(signal.SIGCONT)
    await own_cache.ping()
    assert await own_cache.get_or_set("key", 60, source) == "stored"


async def test_a_timeout_holds_where_a_cancellation_is_swallowed(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended = asyncio.Event()

    async def execute(*_: Any, **__: Any) -> None:
        # What `asyncio.wait_for` of Python 3.11 does now and then.
        with suppress(asyncio.CancelledError):
            await ended.wait()
        await ended.wait()
        raise ConnectionError("too late")

    monkeypatch.setattr(Redis, "execute_command", execute)
    asking = asyncio.create_task(cache.get_or_set("key", 60, Source()))
    done, _ = await asyncio.wait([asking], timeout=10)
    ended.set()
    assert done
    await asyncio.sleep(0.1)
    gc.collect()
    assert [each.getMessage() for each in caplog.records] == [
        "redis is away: TimeoutError"
    ]


async def test_an_invalidation_is_made_up_for_when_redis_is_back(
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


async def test_redis_may_restart_between_two_questions(
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


async def test_more_tasks_than_connections_wait_for_one(
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


async def test_a_wrong_password_is_said_without_showing_it(
    start_redis: Start, own_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    start_redis()
    settings = CacheSettings(
        _env_file=None, redis_url=f"redis://nobody:s3cr%2Ft@127.0.0.1:{own_port}"
    )
    async with Cache(settings) as cache:
        assert await cache.get_or_set("key", 60, Source()) == 1
    assert "redis is away" in caplog.text
    assert "s3cr" not in caplog.text


async def test_who_is_cancelled_while_invalidating_has_invalidated(
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
