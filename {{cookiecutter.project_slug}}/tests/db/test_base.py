"""Tests of the declarative base, its mixins, and the discovery of modules."""

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import ForeignKey, MetaData, select
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from {{cookiecutter.project_slug}}.db import Database, base

from support.models import Component, Item, Label, SupportBase

PACKAGE = base.Base.__module__.partition(".")[0]


class OwnBase(SupportBase):
    """Base of models without a table in any database."""

    __abstract__ = True
    metadata = MetaData(naming_convention=base.NAMING_CONVENTION)


@pytest.mark.parametrize(
    ("model", "table"),
    {
        "BlogPost": "blog_posts",
        "HTTPRequest": "http_requests",
        "Category": "categories",
        "Day": "days",
        "Box": "boxes",
    }.items(),
)
def test_a_table_is_named_after_its_model(model: str, table: str) -> None:
    made: Any = type(model, (base.IntegerId, OwnBase), {})
    assert made.__tablename__ == table


def test_every_constraint_and_index_has_a_unique_name() -> None:
    base.import_submodules(PACKAGE, "models")
    for metadata in (base.Base.metadata, SupportBase.metadata):
        tables: list[Any] = [*metadata.tables.values()]
        items = [each for t in tables for each in (*t.constraints, *t.indexes)]
        names = [str(item.name) for item in items]
        assert "None" not in names
        assert len(names) == len(set(names))


def test_repr_shows_only_loaded_columns() -> None:
    assert repr(Item(name="stone")) == "Item(name='stone')"


@pytest.mark.usefixtures("items")
async def test_json_is_saved_when_changed_in_place(database: Database) -> None:
    async with database.transaction() as session:
        session.add(Item(name="stone", notes={}, steps=[]))
        session.add(Item(name="sand", notes=None))
    async with database.transaction() as session:
        item = (
            await session.scalars(select(Item).where(Item.notes.is_not(None)))
        ).one()
        assert item.notes is not None and item.steps is not None
        item.notes["colour"] = "grey"
        item.steps.append(1)
    async with database.read_session() as session:
        item = (
            await session.scalars(select(Item).where(Item.steps.is_not(None)))
        ).one()
        assert (item.notes, item.steps) == ({"colour": "grey"}, [1])


def test_uuid7_sorts_by_time() -> None:
    first = base.uuid7()
    time.sleep(0.002)
    second = base.uuid7()
    assert first < second
    assert {first.version, second.version} == {7}
    assert abs((first.int >> 80) / 1000 - time.time()) < 60
    assert len({base.uuid7() for _ in range(1000)}) == 1000


def test_keys_and_timestamps_are_a_choice() -> None:
    assert Component.__table__.columns.keys() == ["item_id", "number"]
    assert Label.__table__.columns.keys() == ["id", "text"]
    first, *_, created, updated = Item.__table__.columns.keys()
    assert (first, created, updated) == ("id", "created_at", "updated_at")


def test_mapper_arguments_keep_eager_defaults() -> None:
    class Counted(base.IntegerId, OwnBase):
        version: Mapped[int] = mapped_column()
        __mapper_args__ = {"version_id_col": version}

    class Animal(base.IntegerId, OwnBase):
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Cat(Animal):
        __mapper_args__ = {"polymorphic_identity": "cat"}

    class Dog(Animal):
        __tablename__ = "dogs"
        __mapper_args__ = {"polymorphic_identity": "dog"}
        id: Mapped[int] = mapped_column(ForeignKey("animals.id"), primary_key=True)

    class Lazy(base.IntegerId, OwnBase):
        __mapper_args__ = {"eager_defaults": False}

    for model in (Counted, Animal, Cat, Dog):
        assert model.__mapper__.eager_defaults is True
    assert Lazy.__mapper__.eager_defaults is False
    assert Counted.__mapper__.version_id_col is not None
    assert Cat.__mapper__.local_table is Animal.__table__


@pytest.mark.usefixtures("items")
async def test_times_are_aware_equal_and_loaded_by_the_flush(
    session: AsyncSession,
) -> None:
    seen_at = datetime(2026, 7, 1, 12, 30, 15, 123456, timezone(timedelta(hours=-5)))
    item = Item(name="stone", seen_at=seen_at)
    session.add(item)
    await session.flush()
    assert abs(datetime.now(UTC) - item.created_at) < timedelta(minutes=1)
    item.size, before = 2, item.updated_at
    await session.flush()
    assert item.updated_at >= before
    await session.refresh(item)
    assert item.seen_at == seen_at
    assert item.seen_at.tzinfo is UTC


@pytest.mark.usefixtures("items")
async def test_a_naive_time_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="has no time zone"):
        async with database.transaction() as session:
            session.add(Item(name="stone", seen_at=datetime(2026, 7, 1)))


def test_every_module_with_the_name_is_found_once() -> None:
    found = [module.__name__ for module in base.import_submodules(PACKAGE, "settings")]
    assert {f"{PACKAGE}.settings", f"{PACKAGE}.db.settings"} <= {*found}
    assert len(found) == len(set(found))
    assert base.import_submodules(PACKAGE, "nothing") == []
