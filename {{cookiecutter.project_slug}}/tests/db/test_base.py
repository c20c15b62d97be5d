"""Tests of the declarative base and its mixins."""

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import ForeignKey, MetaData, select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from {{cookiecutter.project_slug}}.db import (
    Base,
    Database,
    IntegerId,
    Timestamps,
    UUIDId,
)
from {{cookiecutter.project_slug}}.db.base import (
    NAMING_CONVENTION,
    TYPE_ANNOTATION_MAP,
    ModelDefaults,
    import_submodules,
    uuid7,
)

from support.models import Item, SupportBase

PACKAGE = Base.__module__.partition(".")[0]


class KeysBase(ModelDefaults, DeclarativeBase):
    """Base with a registry that no other test uses."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = TYPE_ANNOTATION_MAP


class Plain(KeysBase):
    """A model with a text key and no timestamps."""

    code: Mapped[str] = mapped_column(primary_key=True)


class Pair(KeysBase):
    """A model with a composite key."""

    left: Mapped[int] = mapped_column(primary_key=True)
    right: Mapped[int] = mapped_column(primary_key=True)


class Token(UUIDId, Timestamps, KeysBase):
    """A model with a UUID key."""


class Counted(IntegerId, Timestamps, KeysBase):
    """A model with a version counter."""

    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}


class Animal(IntegerId, Timestamps, KeysBase):
    """The base of a hierarchy."""

    kind: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}


class Cat(Animal):
    """A subclass in the same table."""

    __mapper_args__ = {"polymorphic_identity": "cat"}


class Dog(Animal):
    """A subclass with a joined table."""

    __tablename__ = "dogs"
    __mapper_args__ = {"polymorphic_identity": "dog"}

    id: Mapped[int] = mapped_column(ForeignKey("animals.id"), primary_key=True)


class Lazy(IntegerId, KeysBase):
    """A model that asks for something else."""

    __mapper_args__ = {"eager_defaults": False}


def test_a_table_is_named_after_its_model() -> None:
    def table(name: str) -> str:
        model: Any = type(name, (IntegerId, KeysBase), {})
        return str(model.__tablename__)

    assert table("BlogPost") == "blog_posts"
    assert table("HTTPRequest") == "http_requests"
    assert table("Category") == "categories"
    assert table("Day") == "days"
    assert table("Box") == "boxes"


def test_every_constraint_and_index_has_a_unique_name() -> None:
    import_submodules(PACKAGE, "models")
    for metadata in (Base.metadata, SupportBase.metadata):
        items: list[Any] = []
        for table in metadata.tables.values():
            items += [*table.constraints, *table.indexes]
        names = [str(item.name) for item in items]
        assert "None" not in names
        assert len(names) == len(set(names))


def test_repr_shows_only_loaded_columns() -> None:
    assert repr(Item(name="stone")) == "Item(name='stone')"


def test_uuid7_sorts_by_time() -> None:
    first = uuid7()
    time.sleep(0.002)
    second = uuid7()
    assert first < second
    assert {first.version, second.version} == {7}
    assert abs((first.int >> 80) / 1000 - time.time()) < 60
    assert len({uuid7() for _ in range(1000)}) == 1000


def test_keys_and_timestamps_are_a_choice() -> None:
    assert [*Plain.__table__.columns.keys()] == ["code"]
    assert len([*Pair.__table__.primary_key]) == 2
    assert [*Token.__table__.columns.keys()] == ["id", "created_at", "updated_at"]


def test_mapper_arguments_keep_eager_defaults() -> None:
    for model in (Counted, Animal, Cat, Dog):
        assert model.__mapper__.eager_defaults is True
    assert Lazy.__mapper__.eager_defaults is False
    assert Counted.__mapper__.version_id_col is not None
    assert Cat.__mapper__.local_table is Animal.__table__


@pytest.mark.usefixtures("items")
async def test_times_come_back_aware_and_equal(database: Database) -> None:
    seen_at = datetime(2026, 7, 1, 12, 30, 15, 123456, timezone(timedelta(hours=-5)))
    async with database.transaction() as session:
        session.add(Item(name="stone", seen_at=seen_at))
    async with database.read_session() as session:
        item = (await session.scalars(select(Item))).one()
    assert item.seen_at == seen_at
    assert item.seen_at.tzinfo is UTC
    assert abs(datetime.now(UTC) - item.created_at) < timedelta(minutes=1)


@pytest.mark.usefixtures("items")
async def test_a_naive_time_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="has no time zone"):
        async with database.transaction() as session:
            session.add(Item(name="stone", seen_at=datetime(2026, 7, 1)))


@pytest.mark.usefixtures("items")
async def test_computed_values_are_loaded_by_the_flush(database: Database) -> None:
    async with database.transaction() as session:
        item = Item(name="stone")
        session.add(item)
        await session.flush()
        before = item.updated_at
        item.size = 2
        await session.flush()
        assert item.updated_at >= before


def test_every_module_with_the_name_is_found_once() -> None:
    found = [module.__name__ for module in import_submodules(PACKAGE, "settings")]
    assert {f"{PACKAGE}.settings", f"{PACKAGE}.db.settings"} <= {*found}
    assert len(found) == len(set(found))
    assert import_submodules(PACKAGE, "nothing") == []
