"""Tests of the engines, the driver and the settings of SQLite."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InvalidRequestError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from {{cookiecutter.project_slug}}.db import Database
from {{cookiecutter.project_slug}}.db.driver import PREFETCH_ROWS
from {{cookiecutter.project_slug}}.db.errors import (
    missing_database_reason,
)
from {{cookiecutter.project_slug}}.settings import (
    Settings,
    SettingsError,
    project_root,
)


def numbers_up_to(length: int) -> str:
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
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.create_function("thread", 0, threading.get_ident)
        yield connection


async def thread_of_sum(reading: AsyncConnection, length: int) -> int:
    query = f"SELECT thread(), sum(n) FROM ({numbers_up_to(length)})"
    found = await reading.execute(text(query))
    thread, total = found.one()
    assert total == length * (length + 1) // 2
    return int(thread)


async def test_brief_queries_run_without_a_thread(
    reading: AsyncConnection,
) -> None:
    threads = [await thread_of_sum(reading, 300) for _ in range(100)]
    # A few may take long while other programs are busy.
    assert threads.count(threading.get_ident()) > 50


async def test_long_queries_run_in_the_thread(reading: AsyncConnection) -> None:
    threads = [await thread_of_sum(reading, 300_000) for _ in range(2)]
    assert threading.get_ident() not in threads


async def test_a_query_that_starts_over_rerounds_each_row_once(
    database: Database,
) -> None:
    numbers = numbers_up_to(300_000)
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE numbers (n INTEGER)"))
        await session.execute(text("INSERT INTO numbers VALUES (0)"))
        await session.execute(text(f"INSERT INTO numbers {numbers}"))
        total = await session.scalar(text(f"SELECT sum(n) FROM ({numbers})"))
    async with database.read_session() as session:
        found = await session.execute(text("SELECT count(*), sum(n) FROM numbers"))
        assert found.one() == (300_001, total)


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
            driver: Any = raw.driver_connection
            await driver.create_function("tick", 0, tick)
            if waits:
                busy.append(asyncio.create_task(driver._execute(thread_is_free.wait)))
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


@pytest.mark.parametrize(
    "length", [PREFETCH_ROWS - 1, PREFETCH_ROWS, PREFETCH_ROWS + 1]
)
async def test_rows_are_prefetched_with_their_statement(
    database: Database, length: int
) -> None:
    many = numbers_up_to(length)
    async with database.read_engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        asked = driver._tx
        driver._tx = Mock(wraps=asked)
        rows = (await connection.execute(text(many))).scalars().all()
        # The rest is one more hop, and then there is something to close.
        assert driver._tx.put_nowait.call_count == (1 if length < PREFETCH_ROWS else 3)
        driver._tx = asked
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
