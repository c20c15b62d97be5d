"""Measure the search for the nearest of 100,000 documents, in one run.

    python benchmarks/search.py DATABASE_URL

Runs with the Python of a rendered project with `search`. Times are the median of 100 searches,
with the lowest and the highest. The ratio is that of the bare driver's time, for ids alone, to
ours; it cannot be much above 1.
"""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from async_app.db import Database, Repository
from async_app.db.engine import DIALECT_NAME
from async_app.migrations import upgrade
from async_app.search import backend
from async_app.search.models import DIMENSION, Document
from async_app.search.queries import nearest
from async_app.settings import Settings
from sqlalchemy import text

Search = Callable[[Any], Awaitable[Any]]
ROWS = 100_000
QUESTIONS = 100
K = 10

# As in tests/load/search/recall.py: few directions, and noise in all others.
random = np.random.default_rng(ROWS)
directions = random.normal(size=(32, DIMENSION)) / 32**0.5


def sample(count: int) -> Any:
    drawn = random.normal(size=(count, 32)) @ directions
    drawn += 0.3 * random.normal(size=drawn.shape)
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


async def fill(database: Database, stored: Any) -> None:
    rows = (
        {"text": f"{n}", "embedding": vector.tolist(), "details": {"percent": n % 100}}
        for n, vector in enumerate(stored)
    )
    table = Document.metadata.tables["documents"]
    indexes = [each for each in table.indexes if each.name == "ix_documents_embedding"]
    async with database.engine.begin() as connection:
        await connection.execute(text("DELETE FROM documents"))
        for index in indexes:
            await connection.run_sync(index.drop)
    async with database.transaction() as session:
        await Repository[Document](session).create_many(rows)
    async with database.engine.begin() as connection:
        for index in indexes:
            await connection.run_sync(index.create)
        await connection.execute(text("ANALYZE"))


async def times(search: Search, asked: Any) -> list[float]:
    """Measure the milliseconds of each search."""
    await search(asked[0])
    taken = []
    for question in asked:
        start = time.perf_counter()
        await search(question)
        taken.append((time.perf_counter() - start) * 1000)
    return taken


def show(name: str, values: list[float], unit: str = "ms") -> None:
    spread = f"{min(values):.2f} to {max(values):.2f}"
    print(f"| {name} | {statistics.median(values):.2f} {unit} | {spread} |", flush=True)


async def bare(database: Database, asked: Any) -> list[float]:
    """Measure the driver alone, with the same number of candidates."""
    order = "embedding <=> $1" if DIALECT_NAME == "postgresql" else ""
    if order:
        import asyncpg

        url = database.settings.sqlalchemy_url.set(drivername="postgresql")
        driver: Any = await asyncpg.connect(url.render_as_string(False))
        await driver.execute(f"SET hnsw.ef_search = {backend.EF_SEARCH}")

        async def search(question: Any) -> None:
            query = f"SELECT id, {order} FROM documents ORDER BY {order} LIMIT {K}"
            await driver.fetch(query, str(question.tolist()))

        taken = await times(search, asked)
        await driver.close()
        return taken
    async with database.read_session() as session:
        # The distance function of the extension, or of Python.
        for hook in backend.CONNECTION_HOOKS:
            await hook(session)
        connection = await (await session.connection()).get_raw_connection()
        driver = connection.driver_connection

        async def search(question: Any) -> None:
            query = (
                f"SELECT id, {backend.DISTANCE_FUNCTION}(embedding, ?) AS distance"
                f" FROM documents ORDER BY distance LIMIT {K}"
            )
            await driver.execute_fetchall(query, (question.tobytes(),))

        return await times(search, asked)


async def main(url: str) -> None:
    """Print the rows of one database."""
    changes = {"database_statement_timeout": 0, "database_slow_query_ms": 0}
    known = {
        key: value for key, value in changes.items() if key in Settings.model_fields
    }
    stored, asked = sample(ROWS), sample(QUESTIONS)
    async with Database(
        Settings(_env_file=None, database_url=url, **known)
    ) as database:
        await upgrade(database)
        await fill(database, stored)
        found = 0

        async def plain(question: Any) -> Any:
            async with database.read_session() as session:
                return await nearest(session, question.tolist(), K)

        async def filtered(question: Any) -> Any:
            async with database.read_session() as session:
                return await nearest(session, question.tolist(), K, {"percent": 7})

        for question in asked:
            hits = await plain(question)
            exact = np.argsort(1 - stored @ question)[:K]
            found += len({int(hit.document.text) for hit in hits} & {*exact.tolist()})
        ours = await times(plain, asked)
        floor = await bare(database, asked)
        name = f"nearest {K} of {ROWS:,}"
        show(name, ours)
        show(f"{name}, with a filter that 1 % pass", await times(filtered, asked))
        pairs = zip(floor, ours, strict=True)
        show(f"{name}: the bare driver", [theirs / our for theirs, our in pairs], "")
        print(f"| {name}: recall | {found / K / QUESTIONS:.3f} | |", flush=True)


if __name__ == "__main__":
    asyncio.run(main((sys.argv[1:] or [os.environ["DATABASE_URL"]])[0]))
