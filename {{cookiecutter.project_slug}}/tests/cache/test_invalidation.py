"""Tests of the invalidation after COMMIT."""

from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest
from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    delete,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from {{cookiecutter.project_slug}}.cache.client import Cache
from {{cookiecutter.project_slug}}.cache.invalidation import (
    invalidate_on_commit,
    written_tables,
)
from {{cookiecutter.project_slug}}.db import Database, Repository

from support.models import Item

pytestmark = pytest.mark.usefixtures("items")

metadata = MetaData()
parents = Table("parents", metadata, Column("id", Integer, primary_key=True))
children = Table(
    "children",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("parent_id", ForeignKey("parents.id", ondelete="CASCADE")),
)
grandchildren = Table(
    "grandchildren",
    metadata,
    Column("child_id", ForeignKey("children.id", ondelete="SET NULL")),
    Column("parent_id", ForeignKey("parents.id")),
)
friends = Table("friends", metadata, Column("id", ForeignKey("parents.id")))


class Invalidated:
    """Probe for invalidations of the table of items."""

    def __init__(self, cache: Cache) -> None:
        """Watch a cache."""
        self.cache = cache
        self.loads = 0

    async def __call__(self) -> bool:
        """Return True if the table was invalidated since the last call."""

        async def load() -> int:
            self.loads += 1
            return self.loads

        before = self.loads
        await self.cache.get_or_set("key", 60, load, tags=[Item.__tablename__])
        return self.loads > before


@pytest.fixture
async def invalidated(cache: Cache, database: Database) -> AsyncGenerator[Invalidated]:
    """Probe for invalidations, while commits invalidate."""
    with invalidate_on_commit(cache, database):
        invalidated = Invalidated(cache)
        await invalidated()
        yield invalidated


async def write(session: AsyncSession) -> None:
    """Create an item."""
    await Repository[Item](session).create(name="one")


async def test_write_invalidates_at_commit_and_not_before(
    database: Database, invalidated: Invalidated
) -> None:
    async with database.transaction() as session:
        await write(session)
        assert not await invalidated()
    assert await invalidated()
    assert not await invalidated()


async def test_load_after_invalidation_sees_the_commit(
    database: Database, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []

    async def invalidate(*_: str) -> None:
        async with database.read_session() as session:
            counts.append(await Repository[Item](session).count())

    monkeypatch.setattr(cache, "invalidate", invalidate)
    with invalidate_on_commit(cache, database):
        async with database.transaction() as session:
            await write(session)
    assert counts == [1]


async def test_rollback_invalidates_nothing(
    database: Database, invalidated: Invalidated
) -> None:
    with suppress(RuntimeError):
        async with database.transaction() as session:
            await write(session)
            raise RuntimeError("roll back")
    assert not await invalidated()
    async with database.transaction() as session:
        await session.execute(select(Item))
    assert not await invalidated()


async def test_savepoint_invalidates_at_the_outer_commit_only(
    database: Database, invalidated: Invalidated
) -> None:
    async with database.transaction() as session:
        async with session.begin_nested():
            await write(session)
        assert not await invalidated()
        savepoint = await session.begin_nested()
        await session.execute(delete(Item))
        await savepoint.rollback()
        assert not await invalidated()
    assert await invalidated()


@pytest.mark.parametrize(
    "statement",
    [
        insert(Item).values(name="two"),
        update(Item).values(name="two").where(Item.id == 0),
        delete(Item).where(Item.id == 0),
        text(f"DELETE FROM {Item.__tablename__}"),
    ],
    ids=str,
)
async def test_statement_invalidates_its_table(
    database: Database, invalidated: Invalidated, statement: object
) -> None:
    async with database.transaction() as session:
        await session.execute(statement)  # type: ignore[call-overload]
    assert await invalidated()


async def test_invalidation_stops_when_the_block_ends(
    database: Database, cache: Cache
) -> None:
    with invalidate_on_commit(cache, database):
        pass
    invalidated = Invalidated(cache)
    await invalidated()
    async with database.transaction() as session:
        await write(session)
    assert not await invalidated()


async def test_another_database_invalidates_nothing(
    database: Database, invalidated: Invalidated
) -> None:
    async with Database(database.settings) as other:
        async with other.transaction() as session:
            await write(session)
    assert not await invalidated()


async def test_commit_that_fails_to_flush_invalidates_nothing(
    database: Database, invalidated: Invalidated
) -> None:
    with suppress(IntegrityError):
        async with AsyncSession(database.engine) as session:
            session.add_all([Item(id=1, name="one"), Item(id=1, name="two")])
            await session.commit()
    assert not await invalidated()


async def test_commit_with_unknown_outcome_invalidates(
    database: Database, invalidated: Invalidated, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise ConnectionResetError("connection lost")

    with pytest.raises(Exception, match="lost during COMMIT"):
        async with database.transaction() as session:
            await write(session)
            await session.flush()
            dialect = database.engine.sync_engine.dialect
            monkeypatch.setattr(dialect, "do_commit", fail)
    monkeypatch.undo()
    assert await invalidated()


def test_delete_writes_the_tables_of_on_delete_rules() -> None:
    assert written_tables(delete(parents)) == {"parents", "children", "grandchildren"}
    assert written_tables(update(parents)) == {"parents"}
    assert written_tables(select(parents)) == set()


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ('INSERT INTO "items" VALUES (1)', {"items"}),
        ("update items set name = 'x'", {"items"}),
        ("DELETE FROM public.items", {"items"}),
        (
            "WITH x AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM x",
            {"a", "b"},
        ),
        ("SELECT 1", set()),
    ],
)
def test_written_tables_of_textual_sql(statement: str, tables: set[str]) -> None:
    assert written_tables(text(statement)) == tables
