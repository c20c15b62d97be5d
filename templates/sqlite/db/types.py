"""Column types of SQLite: integer keys, enums, the clock."""

import enum
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.mutable import MutableDict, MutableList
from sqlalchemy.orm import MappedColumn, mapped_column


def enum_values(kind: type[enum.Enum]) -> list[str]:
    """Return the texts that are stored: values of a text enum, names of any other."""
    values = [member.value for member in kind]
    if all(isinstance(value, str) for value in values):
        return values
    return [member.name for member in kind]


ENUM_TYPE = sa.Enum(
    enum.Enum,
    native_enum=False,
    length=64,
    validate_strings=True,
    values_callable=enum_values,
)
"""Type of enum columns: VARCHAR with a named CHECK from `add_enum_checks`."""


JSON_TYPES: dict[Any, Any] = {
    dict[str, Any]: MutableDict.as_mutable(sa.JSON(none_as_null=True)),
    list[Any]: MutableList.as_mutable(sa.JSON(none_as_null=True)),
}
"""Types of JSON columns, which notice a change in place; None is NULL."""


def id_column() -> MappedColumn[int]:
    """Return an integer key; only INTEGER becomes SQLite's own row id."""
    return mapped_column(sa.Integer(), primary_key=True, sort_order=-1)


def largest_integer(_kind: sa.types.TypeEngine[Any]) -> int:
    """Return the largest value: SQLite's integers have up to 64 bits in any column."""
    return 2**63 - 1


def utc_now() -> sa.TextClause:
    """Return the clock in milliseconds; CURRENT_TIMESTAMP has only seconds."""
    return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")


def add_enum_checks(table: sa.Table) -> None:
    """Add a CHECK for every enum column, named after the column."""
    for column in table.columns:
        if isinstance(column.type, sa.Enum) and not column.type.create_constraint:
            quoted = ["'" + v.replace("'", "''") + "'" for v in column.type.enums]
            # A colon would start a parameter.
            check = f"{column.name} IN ({', '.join(quoted)})".replace(":", "\\:")
            table.append_constraint(sa.CheckConstraint(check, name=column.name))


TABLE_HOOKS: tuple[Callable[[sa.Table], None], ...] = (add_enum_checks,)
"""Functions that complete the table of each new model."""
