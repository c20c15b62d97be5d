"""Tests of the engines, the driver and the settings of SQLite."""

import asyncio
import itertools
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InvalidRequestError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from {{cookiecutter.project_slug}}.db import Database, driver
from {{cookiecutter.project_slug}}.db.driver import (
    PREFETCH_ROWS,
    QUICK_RUNS,
    QUICK_RUNS_AFTER_SLOW,
    REMEMBERED_STATEMENTS,
    StatementHistory,
)
from {{cookiecutter.project_slug}}.db.errors import (
    missing_database_reason,
)
from {{cookiecutter.project_slug}}.settings import (
    Settings,
    SettingsError,
    project_root,
)


def numbers_up_to(length: int | str) -> str:
    numbers = "SELECT 1 UNION ALL SELECT n + 1 FROM t"
    return f"WITH RECURSIVE t (n) AS ({numbers}) SELECT n FROM t LIMIT {length}"


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite", "sqlite+pysqlite"])
def test_every_spelling_of_the_url_is_accepted(scheme: str) -> None:
    settings = Settings(_env_file=None, database_url=f"{scheme}:///data/x.db")
    assert settings.sqlalchemy_url.drivername == "sqlite+aiosqlite"
    assert settings.sqlalchemy_url.database == str(project_root() / "data" / "x.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL: expected a file"):
        Settings(_env_file=None, database_url=url)


async def test_the_folder_of_the_file_is_created(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "ü.db"
    settings = Settings(_env_file=None, database_url=f"sqlite:///{path}")
    async with Database(settings) as database, database.transaction() as session:
        await session.execute(text("CREATE TABLE t (x)"))
    assert path.exists()


def test_looking_for_the_file_does_not_create_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "app.db"
    settings = Settings(_env_file=None, database_url=f"sqlite:///{path}")
    assert str(path) in str(missing_database_reason(settings))
    assert not path.parent.exists()
    path.parent.mkdir()
    path.touch()
    assert missing_database_reason(settings) is None


async def test_a_connection_that_fails_leaves_no_thread(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, database_url=f"sqlite:///{tmp_path}")
    before = {*threading.enumerate()}
    for _ in range(100):
        with pytest.raises(OperationalError, match="unable to open"):
            await Database(settings).ping()
        assert before.issuperset(threading.enumerate())


async def test_every_connection_has_its_pragmas(database: Database) -> None:
    expected = {"foreign_keys": 1, "journal_mode": "wal", "synchronous": 1}
    for engine, query_only in ((database.engine, 0), (database.read_engine, 1)):
        async with engine.connect() as connection:
            for name, value in {**expected, "query_only": query_only}.items():
                found = await connection.scalar(text(f"PRAGMA {name}"))
                assert found == value, name


@pytest.fixture
async def reading(database: Database) -> AsyncIterator[AsyncConnection]:
    """A read connection with an SQL function that returns the calling thread."""
    async with database.read_engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        await raw.create_function("thread", 0, threading.get_ident)
        yield connection


async def thread_of_sum(reading: AsyncConnection, length: int) -> int:
    query = f"SELECT thread(), sum(n) FROM ({numbers_up_to(':length')})"
    found = await reading.execute(text(query), {"length": length})
    thread, total = found.one()
    assert total == length * (length + 1) // 2
    return int(thread)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every statement for quick, also while the machine is busy."""
    monkeypatch.setattr(driver, "QUICK_CPU_SECONDS", 60)
    monkeypatch.setattr(driver, "QUICK_WALL_SECONDS", 60)


@pytest.mark.usefixtures("patience")
async def test_quick_queries_leave_the_thread(reading: AsyncConnection) -> None:
    own = threading.get_ident()
    threads = [await thread_of_sum(reading, 10) for _ in range(2 * QUICK_RUNS)]
    assert [thread == own for thread in threads] == [
        *[False] * QUICK_RUNS,
        *[True] * QUICK_RUNS,
    ]


async def test_a_slow_run_sends_a_query_back_to_the_thread(
    reading: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        context.setattr(driver, "QUICK_CPU_SECONDS", 60)
        for _ in range(QUICK_RUNS):
            await thread_of_sum(reading, 10)
    lengths = (1_000_000, 10, 10, 10, 10)
    threads = [await thread_of_sum(reading, length) for length in lengths]
    assert threading.get_ident() not in threads


def test_a_slow_run_is_long_remembered() -> None:
    history = StatementHistory()
    for expected in (QUICK_RUNS, QUICK_RUNS_AFTER_SLOW):
        runs = 0
        while not history.is_quick("SELECT 1"):
            history.record("SELECT 1", quick=True)
            runs += 1
        assert runs == expected
        history.record("SELECT 1", quick=False)


def test_the_history_forgets_what_is_not_used() -> None:
    history = StatementHistory()
    for number in range(3 * REMEMBERED_STATEMENTS):
        history.record("SELECT 'used'", quick=True)
        history.record(f"SELECT {number}", quick=True)
    assert len(history._runs) == REMEMBERED_STATEMENTS
    assert history.is_quick("SELECT 'used'")


# Two indexes for each condition: SQLite plans all their combinations.
CONDITIONS = [f"({' OR '.join(['n = 1', 'rowid = 2'] * 50)})"] * 20

HOGS = {
    "steps": (f"SELECT sum(n) FROM ({numbers_up_to(600_000)})", True),
    "values": ("SELECT sum(length(hex(hex(value)))) FROM big", True),
    "text": (f"SELECT n FROM big WHERE {' AND '.join(CONDITIONS)}", False),
    "rows": ("SELECT value, hex(value) FROM big", False),
    "pause": ("SELECT pause()", False),
}


@pytest.mark.parametrize(("sql", "was_quick"), HOGS.values(), ids=HOGS.keys())
async def test_no_query_holds_the_event_loop(
    database: Database, sql: str, was_quick: bool
) -> None:
    values = f"SELECT randomblob(1500000) FROM ({numbers_up_to(20)})"
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE big (value BLOB, n UNIQUE)"))
        await session.execute(text(f"INSERT INTO big (value) {values}"))
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    async with database.read_engine.connect() as reading:
        raw: Any = (await reading.get_raw_connection()).driver_connection
        await raw.create_function("pause", 0, partial(time.sleep, 0.15))
        for _ in range(QUICK_RUNS * was_quick):
            raw.history.record(sql, quick=True)
        other = asyncio.create_task(tick())
        for _ in range(QUICK_RUNS + 2):
            ticks, start = 0, time.perf_counter()
            await reading.execute(text(sql))
            seconds = time.perf_counter() - start
            assert seconds < 0.1 or ticks > 5
        other.cancel()


async def test_other_tasks_run_between_brief_queries(
    reading: AsyncConnection,
) -> None:
    rounds = 0

    async def count() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    for _ in range(100):
        await reading.scalar(text("SELECT 1"))
    other.cancel()
    assert rounds >= 100


async def test_a_query_that_fails_says_why(reading: AsyncConnection) -> None:
    with pytest.raises(OperationalError, match="no such table: absent"):
        await reading.execute(text("SELECT * FROM absent"))


@pytest.mark.parametrize("waits", [False, True])
async def test_a_cancelled_statement_is_interrupted(
    database: Database, waits: bool
) -> None:
    numbers = itertools.count()
    begun = asyncio.Event()
    begin = partial(asyncio.get_running_loop().call_soon_threadsafe, begun.set)
    thread_is_free = threading.Event()

    def tick() -> int:
        number = next(numbers)
        # Beyond this the query is in the thread.
        if number == (0 if waits else 100_000):
            begin()
        return number

    async def work() -> None:
        async with database.transaction() as session:
            raw = await (await session.connection()).get_raw_connection()
            connection: Any = raw.driver_connection
            await connection.create_function("tick", 0, tick)
            if waits:
                busy.append(
                    asyncio.create_task(connection._execute(thread_is_free.wait))
                )
            await session.execute(
                text(f"SELECT sum(tick()) FROM ({numbers_up_to(3_000_000)})")
            )

    busy: list[asyncio.Task[Any]] = []
    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    thread_is_free.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert next(numbers) < 3_000_000
    async with database.transaction() as session:
        assert await session.scalar(text("SELECT 1")) == 1


async def test_big_rows_are_not_read_far_ahead(reading: AsyncConnection) -> None:
    calls = itertools.count()
    raw: Any = (await reading.get_raw_connection()).driver_connection
    await raw.create_function("call", 0, partial(next, calls))
    value = "CASE WHEN n > 2 THEN hex(randomblob(2500000)) END"
    sql = f"SELECT call(), {value} FROM ({numbers_up_to(20)})"
    async with reading.stream(text(sql)) as rows:
        assert await rows.fetchone() == (0, None)
        assert next(calls) < 8


@pytest.mark.parametrize("runs", [0, QUICK_RUNS])
async def test_a_closed_cursor_refuses_to_execute(
    reading: AsyncConnection, runs: int
) -> None:
    raw: Any = (await reading.get_raw_connection()).driver_connection
    for _ in range(runs):
        raw.history.record("SELECT 1", quick=True)
    cursor = await raw.cursor()
    await cursor.execute("SELECT 1")
    await cursor.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed cursor"):
        await cursor.execute("SELECT 1")


async def test_a_connection_may_be_bound_to_its_thread(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db?check_same_thread=true"
    async with Database(Settings(_env_file=None, database_url=url)) as database:
        async with database.transaction() as session:
            await session.execute(text("CREATE TABLE t AS SELECT 1 AS x"))
        async with database.read_session() as session:
            for _ in range(2 * QUICK_RUNS):
                assert await session.scalar(text("SELECT x FROM t")) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no locks by a file beside it")
async def test_without_wal_all_is_done_in_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def connect(path: str, connect: Any = sqlite3.connect, **options: Any) -> Any:
        # Without shared memory, like a network drive: sqlite.org/vfs.html
        return connect(f"file:{path}?vfs=unix-dotfile", uri=True, **options)

    monkeypatch.setattr(sqlite3, "connect", connect)
    settings = Settings(_env_file=None, database_url=f"sqlite:///{tmp_path}/x.db")
    async with Database(settings) as database:
        async with database.read_engine.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            assert raw.history is None
            assert await connection.scalar(text("SELECT 1")) == 1
    assert "the journal mode is delete instead of WAL" in caplog.text


@pytest.mark.parametrize(
    "length", [PREFETCH_ROWS - 1, PREFETCH_ROWS, PREFETCH_ROWS + 1]
)
@pytest.mark.usefixtures("patience")
async def test_rows_are_prefetched_with_their_statement(
    database: Database, length: int
) -> None:
    many = numbers_up_to(length)
    async with database.read_engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        asked = raw._tx
        raw._tx = Mock(wraps=asked)
        rows = (await connection.execute(text(many))).scalars().all()
        # The rest is one more hop, and then there is something to close.
        assert raw._tx.put_nowait.call_count == (1 if length < PREFETCH_ROWS else 3)
        raw._tx = asked
        streamed = await connection.stream_scalars(text(many))
        slices = [await streamed.fetchmany(30), await streamed.fetchmany(30)]
        rest = [n async for n in streamed]
    assert rows == [*slices[0], *slices[1], *rest] == [*range(1, length + 1)]


async def test_two_processes_lose_no_update(
    database: Database, settings: Settings
) -> None:
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE counter (n INTEGER)"))
        await session.execute(text("INSERT INTO counter VALUES (0)"))

    async def count(writer: Database) -> None:
        for _ in range(5):
            async with writer.transaction() as session:
                n = await session.scalar(text("SELECT n FROM counter"))
                await asyncio.sleep(0)
                await session.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

    # The second one is like another process: it shares no pool with the first.
    async with Database(settings) as other:
        await asyncio.gather(*(count(writer) for writer in (database, other) * 8))
    async with database.read_session() as session:
        assert await session.scalar(text("SELECT n FROM counter")) == 80


@pytest.mark.parametrize("sql", ["PRAGMA query_only = 0", "PRAGMA Query_Only(off)"])
async def test_a_read_session_stays_read_only(database: Database, sql: str) -> None:
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE t (x)"))
    async with database.read_session() as session:
        with pytest.raises(DBAPIError, match="not authorized"):
            await session.execute(text(sql))
    writes = (
        "INSERT INTO t VALUES (1)",
        "WITH n AS (SELECT 1) INSERT INTO t SELECT * FROM n",
        "/* SELECT */ DELETE FROM t",
        "PRAGMA user_version = 5",
    )
    for statement in writes:
        async with database.read_session() as session:
            with pytest.raises(InvalidRequestError, match="cannot write"):
                await session.execute(text(statement))
    async with database.read_session() as session:
        assert await session.scalar(text("SELECT 'delete from t'")) == "delete from t"
        assert await session.scalar(text("-- note\nSELECT count(*) FROM t")) == 0
