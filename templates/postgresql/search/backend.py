"""Vector search on PostgreSQL: pgvector's columns, with an HNSW index."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
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

VECTOR_IMPL = VECTOR

DETAILS_TYPE = JSONB()

EF_SEARCH = 200
"""Minimum number of candidates that an index scan keeps (hnsw.ef_search), up to 1000.

More candidates find more of the nearest documents and take longer. With pgvector's
default of 40, a search among 100,000 documents found eight of the nearest ten.
"""


def vector_type(dimension: int) -> TypeEngine[Any]:
    """Return the type of a vector column."""
    return VECTOR(dimension)


def table_args(_dimension: int) -> tuple[Any, ...]:
    """Return the indexes of the table of documents.

    An HNSW index takes up to 2000 dimensions: https://github.com/pgvector/pgvector
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
    """Return a vector as a list, which the driver encodes."""
    return [*vector]


def decode(stored: Iterable[float]) -> list[float]:
    """Decode a vector."""
    return [*stored]


def cosine_distance(
    column: InstrumentedAttribute[list[float]], vector: Sequence[float]
) -> ColumnElement[float]:
    """Return the cosine distance between a column and a vector."""
    return column.op("<=>", return_type=Float())([*vector])


def details_match(
    details: InstrumentedAttribute[dict[str, Any]],
    key: str,
    values: Sequence[str | int | float | bool | None],
) -> ColumnElement[bool]:
    """Return the condition that the details have one of these values under a key."""
    return or_(false(), *(details.contains({key: value}) for value in values))


def index_scan(
    query: Select[Any], distance: ColumnElement[float], k: int
) -> Select[Any]:
    """Order by distance through the index: fast and approximate."""
    # The settings are part of the statement: one round trip, and they last until the
    # transaction ends, which for a read session is the end of the statement. The
    # server evaluates the subquery once, before the index, as it depends on no row.
    candidates = str(min(max(EF_SEARCH, 2 * k), 1000))
    settings = select(
        func.set_config("hnsw.ef_search", candidates, True, type_=String)
        # With filters, continue until enough documents pass them.
        + func.set_config("hnsw.iterative_scan", "relaxed_order", True)
    ).scalar_subquery()
    return query.where(settings.is_not(None)).order_by(distance)


def full_scan(
    query: Select[Any], distance: ColumnElement[float], _k: int
) -> Select[Any]:
    """Order by distance, comparing every vector: exact."""
    # The index does not match this expression.
    return query.order_by(distance + 0)


SEARCH_STRATEGIES: tuple[Callable[..., Select[Any]], ...] = (index_scan, full_scan)

CONNECTION_HOOKS: tuple[Callable[[AsyncSession], Awaitable[None]], ...] = ()
"""Coroutine functions that prepare a connection for a search: pgvector needs none."""
