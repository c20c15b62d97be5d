"""Tests of transactions, read sessions and retries."""

import asyncio

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession

from {{cookiecutter.project_slug}}.db import (
    Database,
    PoolTimeoutError,
)
from {{cookiecutter.project_slug}}.db import database as module
from {{cookiecutter.project_slug}}.settings import Settings

from support.models import Item

pytestmark = pytest.mark.usefixtures("items")


async def names(database: Database) -> list[str]:
    """Return the stored names, in another session."""
    async with database.read_session() as session:
        return list(await session.scalars(select(Item.name).order_by(Item.name)))


async def test_a_block_that_ends_is_stored(database: Database) -> None:
    async with database.transaction() as session:
        session.add(Item(name="stone"))
    assert await names(database) == ["stone"]


async def test_a_block_that_raises_stores_noitem(database: Database) -> None:
    with pytest.raises(RuntimeError):
        async with database.transaction() as session:
            session.add(Item(name="stone"))
            await session.flush()
            raise RuntimeError
    assert await names(database) == []


async def test_a_block_that_is_cancelled_stores_noitem(database: Database) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), database.transaction() as session:
            session.add(Item(name="stone"))
            await session.flush()
            await asyncio.sleep(10)
    assert await names(database) == []


async def test_a_read_session_refuses_to_write(database: Database) -> None:
    async with database.transaction() as session:
        session.add(Item(name="stone"))
    for statement in (
        update(Item).values(name="sand"),
        text("DELETE FROM test_support_items"),
        text("DROP TABLE test_support_items"),
    ):
        async with database.read_session() as session:
            with pytest.raises(
                InvalidRequestError, match="a read session cannot write"
            ):
                await session.execute(statement)
    assert await names(database) == ["stone"]


async def test_a_read_session_refuses_a_changed_object(database: Database) -> None:
    with pytest.raises(InvalidRequestError, match="a read session cannot write"):
        async with database.read_session() as session:
            session.add(Item(name="stone"))


async def test_readers_see_only_committed_rows(
    database: Database,
) -> None:
    async with database.transaction() as session:
        session.add(Item(name="stone"))
        await session.flush()
        assert await names(database) == []
    assert await names(database) == ["stone"]


async def test_concurrent_changes_are_not_lost(database: Database) -> None:
    async with database.transaction() as session:
        session.add(Item(name="stone", size=0))

    async def grow(session: AsyncSession) -> None:
        item = (await session.scalars(select(Item))).one()
        await asyncio.sleep(0)
        item.size += 1

    async def grow_often() -> None:
        for _ in range(5):
            await database.run_in_transaction(grow, isolation="SERIALIZABLE")

    await asyncio.gather(*(grow_often() for _ in range(4)))
    async with database.read_session() as session:
        assert await session.scalar(select(Item.size)) == 20


async def test_only_retryable_errors_are_retried(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0

    async def work(session: AsyncSession) -> str:
        nonlocal attempts
        attempts += 1
        session.add(Item(name="stone"))
        await session.flush()
        if attempts < 3:
            raise ValueError
        return "done"

    with pytest.raises(ValueError):
        await database.run_in_transaction(work)
    assert attempts == 1
    monkeypatch.setattr(module, "is_retryable", lambda _: True)
    attempts = 0
    assert await database.run_in_transaction(work) == "done"
    assert attempts == 3
    assert await names(database) == ["stone"]


async def test_the_last_attempt_raises(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "is_retryable", lambda _: True)
    monkeypatch.setattr("random.uniform", lambda _low, _high: 0)
    attempts = 0

    async def work(_session: AsyncSession) -> None:
        nonlocal attempts
        attempts += 1
        raise ValueError

    with pytest.raises(ValueError):
        await database.run_in_transaction(work)
    assert attempts == module.MAX_ATTEMPTS


async def test_a_pool_timeout_names_the_setting(settings: Settings) -> None:
    small = {"database_pool_size": 1, "database_max_overflow": 0}
    impatient = settings.model_copy(update={**small, "database_pool_timeout": 0.05})
    async with Database(impatient) as database, database.transaction() as session:
        await session.execute(text("SELECT 1"))
        with pytest.raises(PoolTimeoutError, match="DATABASE_POOL_TIMEOUT"):
            async with database.transaction() as another:
                await another.execute(text("SELECT 1"))


async def test_a_slow_statement_is_logged_without_parameters(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    for limit, expected in ((0.0001, 1), (0, 0), (60_000, 0)):
        caplog.clear()
        given = settings.model_copy(update={"database_slow_query_ms": limit})
        async with Database(given) as database, database.read_session() as session:
            await session.execute(select(Item).where(Item.name == "secret"))
        said = [r.getMessage() for r in caplog.records if "slow" in r.msg]
        assert len(said) == expected
        assert all("FROM test_support_items" in each for each in said)
        assert not any("secret" in each for each in said)


async def test_pool_status_counts_connections(database: Database) -> None:
    assert database.pool_status()["in_use"] == 0
    async with database.transaction() as session:
        await session.execute(select(Item))
        assert database.pool_status()["in_use"] == 1
    assert database.pool_status()["in_use"] == 0
    assert database.pool_status()["idle"] >= 1


async def test_noitem_is_opened_before_it_is_used(settings: Settings) -> None:
    database = Database(settings)
    assert "engine" not in vars(database)
    await database.ping()
    await database.close()
    assert "engine" not in vars(database)
    await database.ping()
    await database.close()


async def test_settings_decide_how_sessions_behave(settings: Settings) -> None:
    async with Database(settings) as database, database.read_session() as session:
        options = session.sync_session
        assert (options.autoflush, options.expire_on_commit) == (True, False)
    other = {"database_autoflush": False, "database_expire_on_commit": True}
    changed = Database(settings.model_copy(update=other))
    async with changed as database, database.transaction() as session:
        options = session.sync_session
        assert (options.autoflush, options.expire_on_commit) == (False, True)
