"""Finds the documents whose vectors point the same way as that of a question."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from . import dialect, vectors
from .models import DIMENSION, Document

MOST = 1000
"""How many documents one search returns at most."""


@dataclass(frozen=True)
class Hit:
    """A document that was found.

    Attributes:
        document: The document.
        distance: The cosine distance to the question: 0 for the same direction, 1 for
            a right angle, 2 for the opposite.
    """

    document: Document
    distance: float


async def nearest(
    session: AsyncSession,
    vector: Sequence[float],
    k: int = 10,
    filters: Mapping[str, Any] | None = None,
) -> list[Hit]:
    """Return the `k` documents nearest to a vector, the nearest first.

    Args:
        session: A session of a transaction or of a reader.
        vector: What the embedder made of the question.
        k: How many documents, from 1 to 1000; fewer come only if there are fewer.
        filters: What `Document.details` must say: a text, a number, true, false or
            None under a key of it; a list means any of its values.

    Raises:
        ValueError: The vector, `k` or a filter cannot be meant; the message is one
            sentence.
    """
    vectors.check(vector, DIMENSION)
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= MOST:
        raise ValueError(f"k is a whole number from 1 to {MOST}, not {k!r}")
    wanted = [
        dialect.has(Document.details, key, _values(key, value))
        for key, value in (filters or {}).items()
    ]
    await dialect.prepare(session)
    distance = dialect.distance(Document.embedding, vector).label("distance")
    # What an index gives up on, as when few documents pass the filters, is searched
    # without it.
    for rank in dialect.RANKINGS:
        # The ids first, so that only what is returned is read in full.
        found = rank(select(Document.id, distance), distance, k)
        ranked = found.where(*wanted).limit(k).subquery()
        query = select(Document, Document.embedding).join(
            ranked, ranked.c.id == Document.id
        )
        rows = (await session.execute(query)).all()
        if len(rows) == k:
            break
    # Databases compute in single precision, each with errors of its own.
    hits = [Hit(document, _distance(vector, stored)) for document, stored in rows]
    return sorted(hits, key=lambda hit: (hit.distance, hit.document.id))


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    product: float = sum(map(mul, one, other))
    cosine = product / (math.hypot(*one) * math.hypot(*other))
    return min(max(1 - cosine, 0.0), 2.0)


def _values(key: str, value: Any) -> list[str | int | float | bool | None]:
    several = isinstance(value, (list, tuple, set, frozenset))
    values = list(value) if several else [value]
    for each in values:
        if not (each is None or isinstance(each, (str, int, float))):
            raise ValueError(
                f"the filter {key!r} compares with texts, numbers, true, false and"
                f" None, not with a {type(each).__name__}"
            )
        if isinstance(each, float) and not math.isfinite(each):
            raise ValueError(f"the filter {key!r} compares with finite numbers only")
        if isinstance(each, int) and not -(2**63) <= each < 2**63:
            raise ValueError(f"the filter {key!r} compares with numbers of 64 bits")
    if any("\0" in each for each in (key, *values) if isinstance(each, str)):
        raise ValueError(f"the filter {key!r} has a NUL, which no details have")
    return values
