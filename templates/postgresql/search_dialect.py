"""What vector search must know about the database: PostgreSQL with pgvector."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    ColumnElement,
    Float,
    Index,
    Select,
    String,
    false,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeEngine

IMPLEMENTATION = VECTOR

DETAILS = JSONB()
"""How what is known about a document is stored."""

EFFORT = 200
"""How many candidates a search keeps at least, up to 1000.

pgvector's default, 40, misses many of the nearest where there are many documents: of
100,000 it found eight of ten. More effort finds more, and takes longer.
"""


def column_type(dimension: int) -> TypeEngine[Any]:
    """Return the type of a column of vectors."""
    return VECTOR(dimension)


def table_arguments(_dimension: int) -> tuple[Any, ...]:
    """Return what the table of the documents has besides its columns: two indexes.

    That of the vectors takes up to 2000 dimensions: https://github.com/pgvector/pgvector
    """
    return (
        Index(
            "ix_documents_embedding",
            "embedding",
            postgresql_using="hnsw",
            postgresql_ops={"embedding": "vector_cosine_ops"},
            postgresql_with={"m": 16, "ef_construction": 64},
        ),
        Index(
            "ix_documents_details",
            "details",
            postgresql_using="gin",
            postgresql_ops={"details": "jsonb_path_ops"},
        ),
    )


def encode(vector: Iterable[float]) -> list[float]:
    """Write a vector: the driver does it."""
    return [*vector]


def decode(stored: Iterable[float]) -> list[float]:
    """Read a vector."""
    return [*stored]


def distance(
    column: InstrumentedAttribute[list[float]], vector: Sequence[float]
) -> ColumnElement[float]:
    """Return the cosine distance of a column to a vector."""
    return column.op("<=>", return_type=Float())([*vector])


def has(
    details: InstrumentedAttribute[dict[str, Any]],
    key: str,
    values: Sequence[str | int | float | bool | None],
) -> ColumnElement[bool]:
    """Return the condition that the details have one of these values under a key."""
    return or_(false(), *(details.contains({key: value}) for value in values))


def _by_index(
    query: Select[Any], distance: ColumnElement[float], k: int
) -> Select[Any]:
    # A setting of its own for each search, and yet one statement: it lasts as long as
    # the transaction, and a reader's statement is one. The server asks for it once,
    # before it reads the index, since nothing in it depends on a row.
    effort = str(min(max(EFFORT, 2 * k), 1000))
    settings = select(
        func.set_config("hnsw.ef_search", effort, True, type_=String)
        # With filters, go on until enough documents pass them.
        + func.set_config("hnsw.iterative_scan", "relaxed_order", True)
    ).scalar_subquery()
    return query.where(settings.is_not(None)).order_by(distance)


def _by_distance(
    query: Select[Any], distance: ColumnElement[float], _k: int
) -> Select[Any]:
    # An expression that the index is not for.
    return query.order_by(distance + 0)


RANKINGS: tuple[Callable[..., Select[Any]], ...] = (_by_index, _by_distance)
"""The ways to order documents by distance: with the index, and exactly."""


async def prepare(_session: AsyncSession) -> None:
    """Do nothing: the extension is in the database."""
