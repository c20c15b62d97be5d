"""Tests of transactions, readers and retries."""

import asyncio

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession

from {{cookiecutter.project_slug}} import dialect
from {{cookiecutter.project_slug}}.database import (
    ATTEMPTS,
    Database,
    PoolExhausted,
)
from {{cookiecutter.project_slug}}.settings import Settings

from thing import Thing

pytestmark = pytest.mark.usefixtures("things")


async def names(database: Database) -> list[str]:
    """Return what is stored, as another session sees it."""
    async with database.reader() as session:
        return list(await session.scalars(select(Thing.name).order_by(Thing.name)))


async def test_a_block_that_ends_is_stored(database: Database) -> None:
    async with database.transaction() as session:
        session.add(Thing(name="stone"))
    assert await names(database) == ["stone"]


async def test_a_block_that_raises_stores_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError):
        async with database.transaction() as session:
            session.add(Thing(name="stone"))
            await session.flush()
            raise RuntimeError
    assert await names(database) == []


async def test_a_block_that_is_cancelled_stores_nothing(database: Database) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), database.transaction() as session:
            session.add(Thing(name="stone"))
            await session.flush()
            await asyncio.sleep(10)
    assert await names(database) == []


async def test_a_reader_refuses_to_write(database: Database) -> None:
    async with database.transaction() as session:
        session.add(Thing(name="stone"))
    for statement in (
        update(Thing).values(name="sand"),
        text("DELETE FROM things"),
        text("DROP TABLE things"),
    ):
        async with database.reader() as session:
            with pytest.raises(InvalidRequestError, match="a reader does not write"):
                await session.execute(statement)
    assert await names(database) == ["stone"]


async def test_a_reader_does_not_lose_a_change_silently(database: Database) -> None:
    with pytest.raises(InvalidRequestError, match="a reader does not write"):
        async with database.reader() as session:
            session.add(Thing(name="stone"))


async def test_readers_see_what_is_stored_while_a_transaction_is_open(
    database: Database,
) -> None:
    async with database.transaction() as session:
        session.add(Thing(name="stone"))
        await session.flush()
        assert await names(database) == []
    assert await names(database) == ["stone"]


async def test_concurrent_changes_are_not_lost(database: Database) -> None:
    async with database.transaction() as session:
        session.add(Thing(name="stone", size=0))

    async def grow(session: AsyncSession) -> None:
        thing = (await session.scalars(select(Thing))).one()
        await asyncio.sleep(0)
        thing.size += 1

    async def grow_often() -> None:
        for _ in range(5):
            await database.run(grow, isolation="SERIALIZABLE")

    await asyncio.gather(*(grow_often() for _ in range(4)))
    async with database.reader() as session:
        assert await session.scalar(select(Thing.size)) == 20


async def test_work_is_tried_again_only_where_that_can_help(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0

    async def work(session: AsyncSession) -> str:
        nonlocal attempts
        attempts += 1
        session.add(Thing(name="stone"))
        await session.flush()
        if attempts < 3:
            raise ValueError
        return "done"

    with pytest.raises(ValueError):
        await database.run(work)
    assert attempts == 1
    monkeypatch.setattr(dialect, "is_retryable", lambda _: True)
    attempts = 0
    assert await database.run(work) == "done"
    assert attempts == 3
    assert await names(database) == ["stone"]


async def test_work_that_never_succeeds_raises_in_the_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialect, "is_retryable", lambda _: True)
    monkeypatch.setattr("random.uniform", lambda _low, _high: 0)
    attempts = 0

    async def work(_session: AsyncSession) -> None:
        nonlocal attempts
        attempts += 1
        raise ValueError

    with pytest.raises(ValueError):
        await database.run(work)
    assert attempts == ATTEMPTS


async def test_an_exhausted_pool_names_the_setting(settings: Settings) -> None:
    small = {"database_pool_size": 1, "database_max_overflow": 0}
    impatient = settings.model_copy(update={**small, "database_pool_timeout": 0.05})
    async with Database(impatient) as database, database.transaction() as session:
        await session.execute(text("SELECT 1"))
        with pytest.raises(PoolExhausted, match="DATABASE_POOL_TIMEOUT"):
            async with database.transaction() as another:
                await another.execute(text("SELECT 1"))


async def test_a_slow_statement_is_logged_once_without_parameters(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    for limit, expected in ((0.0001, 1), (0, 0), (60_000, 0)):
        caplog.clear()
        given = settings.model_copy(update={"database_slow_query_ms": limit})
        async with Database(given) as database, database.reader() as session:
            await session.execute(select(Thing).where(Thing.name == "secret"))
        said = [r.getMessage() for r in caplog.records if "slow" in r.msg]
        assert len(said) == expected
        assert all("FROM things" in each for each in said)
        assert not any("secret" in each for each in said)


async def test_the_state_of_the_pool_is_one_call(database: Database) -> None:
    assert database.pool_status()["in_use"] == 0
    async with database.transaction() as session:
        await session.execute(select(Thing))
        assert database.pool_status()["in_use"] == 1
    assert database.pool_status()["in_use"] == 0
    assert database.pool_status()["idle"] >= 1


async def test_nothing_is_opened_before_it_is_used(settings: Settings) -> None:
    database = Database(settings)
    assert "engine" not in vars(database)
    await database.ping()
    await database.close()
    assert "engine" not in vars(database)
    await database.ping()
    await database.close()
