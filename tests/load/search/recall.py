"""Recall of the nearest among 20,000 documents; runs in a rendered project."""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from async_app.db import Database, Repository
from async_app.search.models import DIMENSION, Document
from async_app.search.queries import nearest
from async_app.settings import Settings
from sqlalchemy import text

COUNT = 20_000
QUESTIONS = 50
K = 10

# Vectors with the structure of embeddings: few directions, and noise in all others.
random = np.random.default_rng(20_000)
directions = random.normal(size=(32, DIMENSION)) / 32**0.5


def sample(count: int) -> Any:
    """Draw unit vectors in single precision."""
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


async def recall(database: Database, method: str, filters: dict[str, int]) -> float:
    """Return the share of the exact result that is found; every hit passes the filters."""
    rows = np.arange(COUNT)
    for key, value in filters.items():
        rows = rows[rows % {"half": 2, "percent": 100}[key] == value]
    found = 0
    for asked in ASKED:
        distances = 1 - VECTORS[rows] @ asked
        nearest_rows = rows[np.argsort(distances)[:K]]
        async with getattr(database, method)() as session:
            hits = await nearest(session, asked.tolist(), K, filters)
        assert len(hits) == K
        numbers = {int(hit.document.text) for hit in hits}
        assert numbers <= {*rows.tolist()}
        exact = {n: 1 - float(VECTORS[n] @ asked) for n in numbers}
        for hit in hits:
            assert abs(exact[int(hit.document.text)] - hit.distance) < 1e-6
        found += len(numbers & {*nearest_rows.tolist()})
    return found / (K * len(ASKED))


async def test_recall_of_the_nearest_of_20000(
    filled: Database,
) -> None:
    for method in ("read_session", "transaction"):
        for filters in ({}, {"half": 1}, {"percent": 7}, {"half": 1, "percent": 7}):
            part = await recall(filled, method, filters)
            print(f"{method} {filters}: recall {part:.3f}")
            assert part >= 0.95, (method, filters)
