"""Tests of the schema diagram."""

from typing import Any

import pytest
import sqlalchemy as sa

import draw_schema


def drawn(**tables: list[Any]) -> list[str]:
    """Return the lines of the diagram of tables, given by their columns and keys."""
    metadata = sa.MetaData()
    for name, items in tables.items():
        sa.Table(name, metadata, *items)
    return [line.strip() for line in draw_schema.draw(metadata).splitlines()]


def key(name: str = "id", *references: Any) -> sa.Column[Any]:
    """Return a column of the primary key."""
    return sa.Column(name, *references or [sa.Integer], primary_key=True)


def test_without_tables_the_page_says_so() -> None:
    assert draw_schema.page(sa.MetaData()).endswith(draw_schema.NO_TABLES)


def test_a_column_shows_type_keys_and_remarks() -> None:
    columns = [
        key(),
        sa.Column("code", sa.Integer, unique=True, nullable=False),
        sa.Column("price", sa.Numeric(10, 2), comment='in "euros"'),
        sa.Column("size", sa.Enum("SMALL", "LARGE", name="size"), nullable=False),
    ]
    _, _, number, code, price, size, _ = drawn(rows=columns)
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
    reference = sa.Column("a_id", sa.ForeignKey("a.id"), **options)
    assert drawn(a=[key()], b=[reference])[-1] == f'a {ends} b : "a_id"'


def test_a_key_of_two_columns_is_no_key_of_one() -> None:
    both = sa.ForeignKeyConstraint(["id", "area"], ["a.id", "a.area"])
    columns = (key(), key("area"), key("up", sa.ForeignKey("b.id")))
    lines = drawn(a=[key(), key("area")], b=[*columns, both])
    assert lines[-2:] == ['a ||--o{ b : "id, area"', 'b ||--o{ b : "up"']
