"""Tests of what a transaction makes invalid, and when."""

from collections.abc import AsyncIterator
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
    invalidating,
    tables_of,
)
from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.repository import Repository

from thing import Thing

pytestmark = pytest.mark.usefixtures("things")

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
    """What tells which tags of a cache are invalid."""

    def __init__(self, cache: Cache) -> None:
        """Remember the cache."""
        self.cache = cache
        self.loads = 0

    async def __call__(self) -> bool:
        """Return whether things were made invalid since the last call."""

        async def load() -> int:
            self.loads += 1
            return self.loads

        before = self.loads
        await self.cache.get_or_set("key", 60, load, tags=["things"])
        return self.loads > before


@pytest.fixture
async def invalidated(cache: Cache, database: Database) -> AsyncIterator[Invalidated]:
    """What tells whether things were made invalid."""
    with invalidating(cache, database):
        invalidated = Invalidated(cache)
        await invalidated()
        yield invalidated


async def write(session: AsyncSession) -> None:
    """Store a thing."""
    await Repository[Thing](session).create(name="one")


async def test_a_write_invalidates_when_it_is_committed_and_not_before(
    database: Database, invalidated: Invalidated
) -> None:
    async with database.transaction() as session:
        await write(session)
        assert not await invalidated()
    assert await invalidated()
    assert not await invalidated()


async def test_what_is_committed_is_seen_by_who_loads_after_the_invalidation(
    database: Database, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []

    async def invalidate(*_: str) -> None:
        async with database.reader() as session:
            counts.append(await Repository[Thing](session).count())

    monkeypatch.setattr(cache, "invalidate", invalidate)
    with invalidating(cache, database):
        async with database.transaction() as session:
            await write(session)
    assert counts == [1]


async def test_a_roll_back_invalidates_nothing(
    database: Database, invalidated: Invalidated
) -> None:
    with suppress(RuntimeError):
        async with database.transaction() as session:
            await write(session)
            raise RuntimeError("something goes wrong")
    assert not await invalidated()
    async with database.transaction() as session:
        await session.execute(select(Thing))
    assert not await invalidated()


async def test_the_end_of_a_savepoint_invalidates_nothing_but_the_commit_does(
    database: Database, invalidated: Invalidated
) -> None:
    async with database.transaction() as session:
        async with session.begin_nested():
            await write(session)
        assert not await invalidated()
        savepoint = await session.begin_nested()
        await session.execute(delete(Thing))
        await savepoint.rollback()
        assert not await invalidated()
    assert await invalidated()


@pytest.mark.parametrize(
    "statement",
    [
        insert(Thing).values(name="two"),
        update(Thing).values(name="two").where(Thing.id == 0),
        delete(Thing).where(Thing.id == 0),
        text("DELETE FROM things"),
    ],
    ids=str,
)
async def test_statements_invalidate_too(
    database: Database, invalidated: Invalidated, statement: object
) -> None:
    async with database.transaction() as session:
        await session.execute(statement)  # type: ignore[call-overload]
    assert await invalidated()


async def test_it_ends_with_its_block(database: Database, cache: Cache) -> None:
    with invalidating(cache, database):
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


async def test_a_commit_that_cannot_flush_invalidates_nothing(
    database: Database, invalidated: Invalidated
) -> None:
    with suppress(IntegrityError):
        async with AsyncSession(database.engine) as session:
            session.add_all([Thing(id=1, name="one"), Thing(id=1, name="two")])
            await session.commit()
    assert not await invalidated()


async def test_a_commit_whose_outcome_is_unknown_invalidates(
    database: Database, invalidated: Invalidated, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise ConnectionResetError("the line is dead")

    with pytest.raises(Exception, match="lost during COMMIT"):
        async with database.transaction() as session:
            await write(session)
            await session.flush()
            dialect = database.engine.sync_engine.dialect
            monkeypatch.setattr(dialect, "do_commit", fail)
    monkeypatch.undo()
    assert await invalidated()


def test_foreign_keys_that_delete_along_are_followed() -> None:
    assert tables_of(delete(parents)) == {"parents", "children", "grandchildren"}
    assert tables_of(update(parents)) == {"parents"}
    assert tables_of(select(parents)) == set()


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ('INSERT INTO "things" VALUES (1)', {"things"}),
        ("update things set name = 'x'", {"things"}),
        ("DELETE FROM public.things", {"things"}),
        (
            "WITH x AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM x",
            {"a", "b"},
        ),
        ("SELECT 1", set()),
    ],
)
def test_text_is_looked_through(statement: str, tables: set[str]) -> None:
    assert tables_of(text(statement)) == tables
