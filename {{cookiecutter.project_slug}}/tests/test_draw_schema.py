"""Tests of the schema diagram."""

import enum
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Numeric,
    Table,
)

import draw_schema


class Size(enum.Enum):
    """Size of a row."""

    SMALL = 1
    LARGE = 2


def drawn(metadata: MetaData) -> list[str]:
    """Return the lines of the diagram."""
    return [line.strip() for line in draw_schema.draw(metadata).splitlines()]


def test_without_tables_the_page_says_so() -> None:
    assert draw_schema.page(MetaData()).endswith(draw_schema.NO_TABLES)


def test_a_column_shows_type_keys_and_remarks() -> None:
    metadata = MetaData()
    Table(
        "rows",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("code", Integer, unique=True, nullable=False),
        Column("price", Numeric(10, 2), comment='in "euros"'),
        Column("size", Enum(Size), nullable=False),
    )
    _, _, number, code, price, size, _ = drawn(metadata)
    assert number == "integer id PK"
    assert code == "integer code UK"
    assert price == "numeric(10-2) price \"may be NULL; in 'euros'\""
    assert size.endswith(' size "SMALL, LARGE"')


@pytest.mark.parametrize(
    ("options", "ends"),
    [
        ({"nullable": False}, "||--o{"),
        ({"nullable": False, "unique": True}, "||--o|"),
        ({"primary_key": True}, "||--o|"),
        ({}, "|o--o{"),
    ],
    ids=["many", "one", "one-by-key", "many-or-none"],
)
def test_a_reference_shows_its_cardinality(options: dict[str, Any], ends: str) -> None:
    metadata = MetaData()
    Table("a", metadata, Column("id", Integer, primary_key=True))
    Table("b", metadata, Column("a_id", ForeignKey("a.id"), **options))
    assert drawn(metadata)[-1] == f'a {ends} b : "a_id"'


def test_a_key_of_two_columns_is_no_key_of_one() -> None:
    metadata = MetaData()
    number = Column("id", Integer, primary_key=True)
    Table("a", metadata, number, Column("area", Integer, primary_key=True))
    Table(
        "b",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("area", Integer, primary_key=True),
        Column("up", ForeignKey("b.id"), primary_key=True),
        ForeignKeyConstraint(["id", "area"], ["a.id", "a.area"]),
    )
    assert drawn(metadata)[-2:] == ['a ||--o{ b : "id, area"', 'b ||--o{ b : "up"']
