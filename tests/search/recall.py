"""Tests of how many of the nearest are found among 20,000; they run in a rendered project."""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from async_app.database import Database
from async_app.repository import Repository
from async_app.search.models import DIMENSION, Document
from async_app.search.nearest import nearest
from async_app.settings import Settings
from sqlalchemy import text

COUNT = 20_000
QUESTIONS = 50
K = 10

# Vectors with the structure that embeddings have: few directions, and noise in all others.
random = np.random.default_rng(20_000)
directions = random.normal(size=(32, DIMENSION)) / 32**0.5


def sample(count: int) -> Any:
    """Draw vectors of length 1 in single precision."""
    drawn = random.normal(size=(count, 32)) @ directions
    drawn += 0.3 * random.normal(size=drawn.shape)
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


VECTORS, ASKED = sample(COUNT), sample(QUESTIONS)


@pytest.fixture
async def filled(settings: Settings) -> AsyncIterator[Database]:
    changes = {"database_statement_timeout": 0, "database_slow_query_ms": 0}
    known = {key: value for key, value in changes.items() if hasattr(settings, key)}
    rows = (
        {
            "text": f"{n}",
            "embedding": vector.tolist(),
            "details": {"half": n % 2, "percent": n % 100},
        }
        for n, vector in enumerate(VECTORS)
    )
    indexes = [
        index
        for index in Document.metadata.tables["documents"].indexes
        if index.name == "ix_documents_embedding"
    ]
    async with Database(settings.model_copy(update=known)) as database:
        async with database.engine.begin() as connection:
            for index in indexes:
                await connection.run_sync(index.drop)
        async with database.transaction() as session:
            await Repository[Document](session).create_many(rows)
        async with database.engine.begin() as connection:
            for index in indexes:
                await connection.run_sync(index.create)
            await connection.execute(text("ANALYZE"))
        yield database


async def recall(database: Database, own: str, filters: dict[str, int]) -> float:
    """Return which part of the exact answer was found; all that was found passes."""
    rows = np.arange(COUNT)
    for key, value in filters.items():
        rows = rows[rows % {"half": 2, "percent": 100}[key] == value]
    found = 0
    for asked in ASKED:
        distances = 1 - VECTORS[rows] @ asked
        nearest_rows = rows[np.argsort(distances)[:K]]
        async with getattr(database, own)() as session:
            hits = await nearest(session, asked.tolist(), K, filters)
        assert len(hits) == K
        numbers = {int(hit.document.text) for hit in hits}
        assert numbers <= {*rows.tolist()}
        exact = {n: 1 - float(VECTORS[n] @ asked) for n in numbers}
        for hit in hits:
            assert abs(exact[int(hit.document.text)] - hit.distance) < 1e-6
        found += len(numbers & {*nearest_rows.tolist()})
    return found / (K * len(ASKED))


async def test_the_nearest_of_20000_are_found_and_filters_respected(
    filled: Database,
) -> None:
    for own in ("reader", "transaction"):
        for filters in ({}, {"half": 1}, {"percent": 7}, {"half": 1, "percent": 7}):
            part = await recall(filled, own, filters)
            print(f"{own} {filters}: recall {part:.3f}")
            assert part >= 0.95, (own, filters)
