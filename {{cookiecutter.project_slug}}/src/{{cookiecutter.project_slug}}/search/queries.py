"""Queries for the documents nearest to a vector."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from . import backend
from .models import DIMENSION, Document
from .vectors import validate_vector

MAX_K = 1000
"""Maximum number of documents that one search returns."""


@dataclass(frozen=True)
class Hit:
    """A document found by a search.

    Attributes:
        document: The document.
        distance: Cosine distance to the question: 0 for the same direction, 1 for a
            right angle, 2 for the opposite direction.
    """

    document: Document
    distance: float


async def nearest(
    session: AsyncSession,
    vector: Sequence[float],
    k: int = 10,
    filters: Mapping[str, Any] | None = None,
) -> list[Hit]:
    """Return the `k` documents nearest to a vector, nearest first.

    Args:
        session: Session of a transaction, or one for reading.
        vector: Embedding of the question.
        k: Number of documents, from 1 to 1000; fewer are returned only if fewer match.
        filters: Values that `Document.details` must have, by key: a string, number,
            boolean or None, or a list of them, any of which matches.

    Raises:
        ValueError: The vector, `k` or a filter is invalid; the message is one line.
    """
    validate_vector(vector, DIMENSION)
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= MAX_K:
        raise ValueError(f"k must be an integer from 1 to {MAX_K}, not {k!r}")
    conditions = [
        backend.details_match(Document.details, key, _filter_values(key, value))
        for key, value in (filters or {}).items()
    ]
    for prepare in backend.CONNECTION_HOOKS:
        await prepare(session)
    distance = backend.cosine_distance(Document.embedding, vector).label("distance")
    # An approximate strategy may return too few, as when few documents pass the
    # filters; the last strategy is exact.
    for strategy in backend.SEARCH_STRATEGIES:
        # Rank ids first, so that only the documents returned are read in full.
        ranked = strategy(select(Document.id, distance), distance, k)
        ids = ranked.where(*conditions).limit(k).subquery()
        query = select(Document, Document.embedding).join(ids, ids.c.id == Document.id)
        rows = (await session.execute(query)).all()
        if len(rows) == k:
            break
    # Databases compute in single precision: the exact distance decides the order.
    hits = [Hit(document, _distance(vector, stored)) for document, stored in rows]
    return sorted(hits, key=lambda hit: (hit.distance, hit.document.id))


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    product: float = sum(map(mul, one, other))
    cosine = product / (math.hypot(*one) * math.hypot(*other))
    return min(max(1 - cosine, 0.0), 2.0)


def _filter_values(key: str, value: Any) -> list[str | int | float | bool | None]:
    several = isinstance(value, (list, tuple, set, frozenset))
    values = list(value) if several else [value]
    for each in values:
        if not (each is None or isinstance(each, (str, int, float))):
            raise ValueError(
                f"filter {key!r} takes strings, numbers, booleans and None,"
                f" not {type(each).__name__}"
            )
        if isinstance(each, float) and not math.isfinite(each):
            raise ValueError(f"filter {key!r} takes finite numbers only")
        if isinstance(each, int) and not -(2**63) <= each < 2**63:
            raise ValueError(f"filter {key!r} takes integers of at most 64 bits")
    if any("\0" in each for each in (key, *values) if isinstance(each, str)):
        raise ValueError(f"filter {key!r} contains NUL, which no document has")
    return values
