"""What vector search must know about the database: SQLite."""

import logging
import sqlite3
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import sqlite_vec
from sqlalchemy import (
    JSON,
    CheckConstraint,
    ColumnElement,
    Float,
    Function,
    LargeBinary,
    Select,
    and_,
    false,
    func,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeEngine

IMPLEMENTATION = LargeBinary

DETAILS = JSON()
"""How what is known about a document is stored."""

DISTANCE = "vec_distance_cosine"
"""The name of the function, both in the extension and when Python stands in for it."""

logger = logging.getLogger(__name__)


def column_type(_dimension: int) -> TypeEngine[Any]:
    """Return the type of a column of vectors: `table_arguments` checks its length."""
    return LargeBinary()


def table_arguments(dimension: int) -> tuple[Any, ...]:
    """Return what the table of the documents has besides its columns."""
    size = dimension * array("f").itemsize
    return (CheckConstraint(f"length(embedding) = {size}", name="embedding"),)


def encode(vector: Iterable[float]) -> bytes:
    """Write a vector: its numbers in single precision, one after the other."""
    return array("f", vector).tobytes()


def decode(stored: bytes) -> list[float]:
    """Read a vector."""
    return array("f", stored).tolist()


def distance(
    column: InstrumentedAttribute[list[float]], vector: Sequence[float]
) -> ColumnElement[float]:
    """Return the cosine distance of a column to a vector."""
    return Function(DISTANCE, column, encode(vector), type_=Float())


def has(
    details: InstrumentedAttribute[dict[str, Any]],
    key: str,
    values: Sequence[str | int | float | bool | None],
) -> ColumnElement[bool]:
    """Return the condition that the details have one of these values under a key."""
    member = func.json_each(details).table_valued("key", "type", "atom")
    kinds = {str: ["text"], int: ["integer", "real"], float: ["integer", "real"]}
    matches: list[ColumnElement[bool]] = []
    for value in values:
        if value is None:
            matches.append(member.c.type == "null")
        elif isinstance(value, bool):
            matches.append(member.c.type == str(value).lower())
        else:
            kind = member.c.type.in_(kinds[type(value)])
            matches.append(and_(kind, member.c.atom == value))
    found = select(member.c.key).where(member.c.key == key, or_(false(), *matches))
    return found.exists()


def _by_distance(
    query: Select[Any], distance: ColumnElement[float], _k: int
) -> Select[Any]:
    return query.order_by(distance)


RANKINGS: tuple[Callable[..., Select[Any]], ...] = (_by_distance,)
"""The ways to order documents by distance; this one compares all, and so is exact."""


async def prepare(session: AsyncSession) -> None:
    """Give the connection of a session the function that compares vectors, once.

    It comes from sqlite-vec. Where Python was built without extensions, as that of
    pyenv is by default, Python compares: with the same results, but more slowly.
    """
    connection = await (await session.connection()).get_raw_connection()
    if DISTANCE in connection.info:
        return
    driver: Any = connection.driver_connection
    try:
        await driver.enable_load_extension(True)
        await driver.load_extension(sqlite_vec.loadable_path())
        await driver.enable_load_extension(False)
    except (AttributeError, sqlite3.Error) as error:
        _say_once(str(error))
        compare = _cosine_distance()
        await driver.create_function(DISTANCE, 2, compare, deterministic=True)
    connection.info[DISTANCE] = True


@cache
def _say_once(reason: str) -> None:
    logger.warning(
        "sqlite-vec cannot be loaded (%s): Python compares the vectors, with the same"
        " results but more slowly",
        reason,
    )


@cache
def _cosine_distance() -> Callable[[bytes, bytes], float]:
    # Only those who need it pay for the import.
    import numpy as np

    def cosine_distance(one: bytes, other: bytes) -> float:
        a, b = np.frombuffer(one, np.float32), np.frombuffer(other, np.float32)
        return 1 - float(a @ b) / float(np.sqrt(a @ a) * np.sqrt(b @ b))

    return cosine_distance
