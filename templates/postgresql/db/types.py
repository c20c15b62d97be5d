"""Column types of PostgreSQL: integer keys, enums, the clock."""

import enum
from collections.abc import Callable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.mutable import MutableDict, MutableList
from sqlalchemy.orm import MappedColumn, mapped_column


def enum_values(kind: type[enum.Enum]) -> list[str]:
    """Return the texts that are stored: values of a text enum, names of any other."""
    values = [member.value for member in kind]
    if all(isinstance(value, str) for value in values):
        return values
    return [member.name for member in kind]


ENUM_TYPE = sa.Enum(enum.Enum, values_callable=enum_values)
"""Type of enum columns: a native enum, named after the class."""


JSON_TYPES: dict[Any, Any] = {
    dict[str, Any]: MutableDict.as_mutable(JSONB(none_as_null=True)),
    list[Any]: MutableList.as_mutable(JSONB(none_as_null=True)),
}
"""Types of JSON columns, which notice a change in place; None is NULL."""


def id_column() -> MappedColumn[int]:
    """Return a BIGINT key that the database numbers."""
    return mapped_column(
        sa.BigInteger(), sa.Identity(), primary_key=True, sort_order=-1
    )


def largest_integer(kind: sa.types.TypeEngine[Any]) -> int:
    """Return the largest value of an integer column."""
    return 2**63 - 1 if isinstance(kind, sa.BigInteger) else 2**31 - 1


def utc_now() -> sa.Function[datetime]:
    """Return the clock: the start of the transaction."""
    return sa.func.now()


TABLE_HOOKS: tuple[Callable[[sa.Table], None], ...] = ()
"""Functions that complete the table of each new model: a native enum needs none."""
