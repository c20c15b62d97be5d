"""Vector search on SQLite: BLOB columns, compared by sqlite-vec."""

import logging
import sqlite3
from array import array
from collections.abc import Awaitable, Callable, Iterable, Sequence
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

VECTOR_IMPL = LargeBinary

DETAILS_TYPE = JSON()

DISTANCE_FUNCTION = "vec_distance_cosine"
"""SQL function of sqlite-vec; its replacement in Python has the same name."""

logger = logging.getLogger(__name__)


def vector_type(_dimension: int) -> TypeEngine[Any]:
    """Return the type of a vector column; `table_args` checks its length."""
    return LargeBinary()


def table_args(dimension: int) -> tuple[Any, ...]:
    """Return the constraints of the table of documents."""
    size = dimension * array("f").itemsize
    return (CheckConstraint(f"length(embedding) = {size}", name="embedding"),)


def encode(vector: Iterable[float]) -> bytes:
    """Encode a vector as an array of single-precision numbers."""
    return array("f", vector).tobytes()


def decode(stored: bytes) -> list[float]:
    """Decode a vector."""
    return array("f", stored).tolist()


def cosine_distance(
    column: InstrumentedAttribute[list[float]], vector: Sequence[float]
) -> ColumnElement[float]:
    """Return the cosine distance between a column and a vector."""
    return Function(DISTANCE_FUNCTION, column, encode(vector), type_=Float())


def details_match(
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


def full_scan(
    query: Select[Any], distance: ColumnElement[float], _k: int
) -> Select[Any]:
    """Order by distance, comparing every vector: exact."""
    return query.order_by(distance)


SEARCH_STRATEGIES: tuple[Callable[..., Select[Any]], ...] = (full_scan,)


async def register_distance_function(session: AsyncSession) -> None:
    """Register the distance function on the connection of a session, once.

    It comes from sqlite-vec. A Python built without loadable extensions, as pyenv's
    is by default, gets one in NumPy: the same results, but slower.
    """
    connection = await (await session.connection()).get_raw_connection()
    if DISTANCE_FUNCTION in connection.info:
        return
    driver: Any = connection.driver_connection
    try:
        await driver.enable_load_extension(True)
        await driver.load_extension(sqlite_vec.loadable_path())
        await driver.enable_load_extension(False)
    except (AttributeError, sqlite3.Error) as error:
        _warn_once(str(error))
        function = _numpy_distance_function()
        await driver.create_function(DISTANCE_FUNCTION, 2, function, deterministic=True)
    connection.info[DISTANCE_FUNCTION] = True


CONNECTION_HOOKS: tuple[Callable[[AsyncSession], Awaitable[None]], ...] = (
    register_distance_function,
)
"""Coroutine functions that prepare the connection of a session for a search."""


@cache
def _warn_once(reason: str) -> None:
    logger.warning(
        "sqlite-vec cannot be loaded (%s): NumPy compares the vectors, with the same"
        " results but slower",
        reason,
    )


@cache
def _numpy_distance_function() -> Callable[[bytes, bytes], float]:
    # Imported here: it is slow, and most installations never need it.
    import numpy as np

    def distance(one: bytes, other: bytes) -> float:
        a, b = np.frombuffer(one, np.float32), np.frombuffer(other, np.float32)
        return 1 - float(a @ b) / float(np.sqrt(a @ a) * np.sqrt(b @ b))

    return distance
