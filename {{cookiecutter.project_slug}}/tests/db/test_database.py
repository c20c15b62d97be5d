"""Tests of transactions, read sessions, retries, and descriptions of errors."""

import asyncio
from contextlib import nullcontext
from functools import partial

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession

from {{cookiecutter.project_slug}} import db
from {{cookiecutter.project_slug}}.db import Database, errors
from {{cookiecutter.project_slug}}.db import database as module
from {{cookiecutter.project_slug}}.settings import Settings

from support.models import Item

pytestmark = pytest.mark.usefixtures("items")

refused = partial(
    pytest.raises, InvalidRequestError, match="a read session cannot write"
)


async def names(database: Database) -> list[str]:
    """Return the stored names, in another session."""
    async with database.read_session() as session:
        return list(await session.scalars(select(Item.name)))


async def test_only_a_block_that_ends_is_visible(database: Database) -> None:
    async with database.transaction() as session:
        session.add(Item(name="stone"))
        await session.flush()
        assert await names(database) == []
    assert await names(database) == ["stone"]


@pytest.mark.parametrize(
    ("seconds", "error"), [(None, RuntimeError), (0.05, TimeoutError)]
)
async def test_a_block_that_raises_or_is_cancelled_stores_nothing(
    database: Database, seconds: float | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        async with asyncio.timeout(seconds), database.transaction() as session:
            session.add(Item(name="stone"))
            await session.flush()
            if seconds is None:
                raise RuntimeError
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
            with refused():
                await session.execute(statement)
    with refused():
        async with database.read_session() as session:
            session.add(Item(name="sand"))
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


@pytest.mark.parametrize(
    ("retryable", "seconds", "failures", "attempts"),
    [(False, 60, 1, 1), (True, 60, 2, 3), (True, 0, 1_000, 1)],
)
async def test_only_retryable_errors_are_retried(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    retryable: bool,
    seconds: float,
    failures: int,
    attempts: int,
) -> None:
    if retryable:
        monkeypatch.setattr(module, "is_retryable", lambda _: True)
    caplog.set_level("INFO", module.__name__)
    database.settings = database.settings.model_copy(
        update={"database_retry_seconds": seconds}
    )
    made = 0

    async def work(session: AsyncSession) -> str:
        nonlocal made
        made += 1
        session.add(Item(name="stone"))
        await session.flush()
        if made <= failures:
            raise ValueError("busy")
        return "done"

    succeeds = failures < attempts
    with nullcontext() if succeeds else pytest.raises(ValueError):
        assert await database.run_in_transaction(work) == "done"
    assert made == attempts
    retries = [r.getMessage() for r in caplog.records if "retrying" in r.msg]
    assert len(retries) == attempts - 1
    assert all("busy (attempt" in each for each in retries)
    assert await names(database) == ["stone"] * succeeds


async def test_a_pool_timeout_names_the_setting(settings: Settings) -> None:
    small = {"database_pool_size": 1, "database_max_overflow": 0}
    impatient = settings.model_copy(update={**small, "database_pool_timeout": 0.05})
    async with Database(impatient) as database, database.transaction() as session:
        await session.execute(text("SELECT 1"))
        with pytest.raises(db.PoolTimeoutError, match="DATABASE_POOL_TIMEOUT"):
            async with database.transaction() as another:
                await another.execute(text("SELECT 1"))


@pytest.mark.parametrize(("limit", "logged"), [(0.0001, 1), (0, 0), (60_000, 0)])
async def test_a_slow_statement_is_logged_without_parameters(
    settings: Settings, caplog: pytest.LogCaptureFixture, limit: float, logged: int
) -> None:
    given = settings.model_copy(update={"database_slow_query_ms": limit})
    async with Database(given) as database, database.read_session() as session:
        await session.execute(select(Item).where(Item.name == "secret"))
    said = [r.getMessage() for r in caplog.records if "slow" in r.msg]
    assert len(said) == logged
    assert all("FROM test_support_items" in each for each in said)
    assert not any("secret" in each for each in said)


async def test_pool_status_counts_connections(database: Database) -> None:
    assert database.pool_status()["in_use"] == 0
    async with database.transaction() as session:
        await session.execute(select(Item))
        assert database.pool_status()["in_use"] == 1
    assert database.pool_status()["in_use"] == 0
    assert database.pool_status()["idle"] >= 1


async def test_an_engine_opens_on_first_use_and_after_close(settings: Settings) -> None:
    database = Database(settings)
    for _ in range(2):
        assert "engine" not in vars(database)
        await database.ping()
        await database.close()


async def test_settings_decide_how_sessions_behave(settings: Settings) -> None:
    other = {"database_autoflush": False, "database_expire_on_commit": True}
    for changes, expected in (({}, (True, False)), (other, (False, True))):
        changed = Database(settings.model_copy(update=changes))
        async with changed as database, database.transaction() as session:
            options = session.sync_session
            assert (options.autoflush, options.expire_on_commit) == expected


async def describe(settings: Settings, statement: str) -> str:
    """Run a statement that fails, and return the description of its error."""
    async with Database(settings) as database:
        with pytest.raises(errors.DATABASE_ERRORS) as caught:
            async with database.transaction() as session:
                await session.execute(text(statement))
    return errors.describe_error(caught.value)


async def test_an_error_is_one_line_with_its_fix(
    empty_settings: Settings, wrong_settings: Settings
) -> None:
    missing = await describe(empty_settings, "SELECT 1\nFROM nowhere")
    assert missing.endswith(" db upgrade head")
    unreachable = await describe(wrong_settings, "SELECT 1")
    assert "DATABASE_URL" in unreachable
    unknown = await describe(empty_settings, "SELECT\n(\n")
    for each in (missing, unreachable, unknown):
        assert each and "\n" not in each and "SELECT" not in each
