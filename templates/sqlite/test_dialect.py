"""Tests of what the project knows about SQLite."""

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
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from {{cookiecutter.project_slug}} import failures
from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.dialect import AHEAD
from {{cookiecutter.project_slug}}.settings import (
    Settings,
    SettingsError,
    project_root,
)


def numbers_up_to(length: int) -> str:
    numbers = "SELECT 1 UNION ALL SELECT n + 1 FROM t"
    return f"WITH RECURSIVE t (n) AS ({numbers}) SELECT n FROM t LIMIT {length}"


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite", "sqlite+pysqlite"])
def test_every_spelling_of_the_address_is_taken(scheme: str) -> None:
    settings = Settings(_env_file=None, database_url=f"{scheme}:///data/x.db")
    assert settings.address.drivername == "sqlite+aiosqlite"
    assert settings.address.database == str(project_root() / "data" / "x.db")


@pytest.mark.parametrize("address", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL: expected a file"):
        Settings(_env_file=None, database_url=address)


async def test_the_folder_of_the_file_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "ü.db"
    settings = Settings(_env_file=None, database_url=f"sqlite:///{path}")
    async with Database(settings) as database, database.transaction() as session:
        await session.execute(text("CREATE TABLE t (x)"))
    assert path.exists()


def test_to_look_for_the_file_does_not_make_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "app.db"
    settings = Settings(_env_file=None, database_url=f"sqlite:///{path}")
    assert failures.not_yet(settings) == f"{path} is not there yet: make migrate"
    assert not path.parent.exists()
    path.parent.mkdir()
    path.touch()
    assert failures.not_yet(settings) is None


async def test_a_connection_that_fails_leaves_no_thread(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, database_url=f"sqlite:///{tmp_path}")
    before = {*threading.enumerate()}
    for _ in range(100):
        with pytest.raises(OperationalError, match="unable to open"):
            await Database(settings).ping()
        assert before.issuperset(threading.enumerate())


async def test_connections_are_set_up_alike(database: Database) -> None:
    expected = {"foreign_keys": 1, "journal_mode": "wal", "synchronous": 1}
    for engine, query_only in ((database.engine, 0), (database.read_engine, 1)):
        async with engine.connect() as connection:
            for name, value in {**expected, "query_only": query_only}.items():
                found = await connection.scalar(text(f"PRAGMA {name}"))
                assert found == value, name


@pytest.fixture
async def reading(database: Database) -> AsyncIterator[AsyncConnection]:
    """A reader that knows a function: the thread that it is called in."""
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


async def test_brief_queries_are_answered_without_a_thread(
    reading: AsyncConnection,
) -> None:
    threads = [await thread_of_sum(reading, 300) for _ in range(100)]
    # A few may take long, where other programs are busy.
    assert threads.count(threading.get_ident()) > 50


async def test_long_queries_hold_up_nobody(reading: AsyncConnection) -> None:
    threads = [await thread_of_sum(reading, 300_000) for _ in range(2)]
    assert threading.get_ident() not in threads


async def test_a_query_that_begins_anew_takes_nothing_back(database: Database) -> None:
    numbers = numbers_up_to(300_000)
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE numbers (n INTEGER)"))
        await session.execute(text("INSERT INTO numbers VALUES (0)"))
        await session.execute(text(f"INSERT INTO numbers {numbers}"))
        total = await session.scalar(text(f"SELECT sum(n) FROM ({numbers})"))
    async with database.reader() as session:
        found = await session.execute(text("SELECT count(*), sum(n) FROM numbers"))
        assert found.one() == (300_001, total)


async def test_others_have_their_turn_between_brief_queries(
    reading: AsyncConnection,
) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    for _ in range(100):
        await reading.scalar(text("SELECT 1"))
    other.cancel()
    assert turns >= 100


async def test_a_query_that_fails_says_why(reading: AsyncConnection) -> None:
    with pytest.raises(OperationalError, match="no such table: absent"):
        await reading.execute(text("SELECT * FROM absent"))


@pytest.mark.parametrize("waits", [False, True])
async def test_a_statement_ends_when_nobody_waits_for_it(
    database: Database, waits: bool
) -> None:
    numbers = itertools.count()
    begun = asyncio.Event()
    begin = partial(asyncio.get_running_loop().call_soon_threadsafe, begun.set)
    thread_is_free = threading.Event()

    def tick() -> int:
        number = next(numbers)
        # So many are not counted before it is left to the thread.
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


@pytest.mark.parametrize("length", [AHEAD - 1, AHEAD, AHEAD + 1])
async def test_rows_come_along_with_their_statement(
    database: Database, length: int
) -> None:
    many = numbers_up_to(length)
    async with database.read_engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        asked = driver._tx
        driver._tx = Mock(wraps=asked)
        rows = (await connection.execute(text(many))).scalars().all()
        # What is left is one more question, and then there is something to close.
        assert driver._tx.put_nowait.call_count == (1 if length < AHEAD else 3)
        driver._tx = asked
        streamed = await connection.stream_scalars(text(many))
        slices = [await streamed.fetchmany(30), await streamed.fetchmany(30)]
        rest = [n async for n in streamed]
    assert rows == [*slices[0], *slices[1], *rest] == [*range(1, length + 1)]


async def test_writers_wait_for_each_other_and_lose_nothing(
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

    # The second one stands for another process: it shares no pool with the first.
    async with Database(settings) as other:
        await asyncio.gather(*(count(writer) for writer in (database, other) * 8))
    async with database.reader() as session:
        assert await session.scalar(text("SELECT n FROM counter")) == 80
