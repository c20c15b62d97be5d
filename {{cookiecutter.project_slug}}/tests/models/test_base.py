"""Tests of what all models share."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import StatementError

from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.models.base import (
    Base,
    load_models,
)

from thing import Thing, ThingBase


def test_a_table_is_named_after_its_model() -> None:
    class NamingBase(Base):
        __abstract__ = True
        metadata = ThingBase.metadata

    def table(name: str) -> str:
        model: Any = type(name, (NamingBase,), {})
        return str(model.__tablename__)

    assert table("BlogPost") == "blog_posts"
    assert table("HTTPRequest") == "http_requests"
    assert table("Category") == "categories"
    assert table("Day") == "days"
    assert table("Box") == "boxes"


def test_every_constraint_and_index_has_a_name_of_its_own() -> None:
    for metadata in (load_models(), ThingBase.metadata):
        items: list[Any] = []
        for table in metadata.tables.values():
            items += [*table.constraints, *table.indexes]
        names = [str(item.name) for item in items]
        assert "None" not in names
        assert len(names) == len(set(names))


def test_repr_shows_what_is_loaded_and_loads_nothing() -> None:
    assert repr(Thing(name="stone")) == "Thing(name='stone')"


@pytest.mark.usefixtures("things")
async def test_times_come_back_aware_and_equal(database: Database) -> None:
    seen_at = datetime(2026, 7, 1, 12, 30, 15, 123456, timezone(timedelta(hours=-5)))
    async with database.transaction() as session:
        session.add(Thing(name="stone", seen_at=seen_at))
    async with database.reader() as session:
        thing = (await session.scalars(select(Thing))).one()
    assert thing.seen_at == seen_at
    assert thing.seen_at.tzinfo is UTC
    assert abs(datetime.now(UTC) - thing.created_at) < timedelta(minutes=1)


@pytest.mark.usefixtures("things")
async def test_a_naive_time_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="has no time zone"):
        async with database.transaction() as session:
            session.add(Thing(name="stone", seen_at=datetime(2026, 7, 1)))


@pytest.mark.usefixtures("things")
async def test_what_the_database_computes_is_there_after_a_flush(
    database: Database,
) -> None:
    async with database.transaction() as session:
        thing = Thing(name="stone")
        session.add(thing)
        await session.flush()
        before = thing.updated_at
        thing.size = 2
        await session.flush()
        assert thing.updated_at >= before
