"""Tests of vector search on SQLite."""

import logging
import random
from collections.abc import Iterator

import pytest
import sqlite_vec
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from {{cookiecutter.project_slug}}.db import Database
from {{cookiecutter.project_slug}}.search import backend
from {{cookiecutter.project_slug}}.search.models import (
    DIMENSION,
    Document,
)
from {{cookiecutter.project_slug}}.search.queries import nearest

MISSING_EXTENSION = "/no/such/extension"


@pytest.fixture(autouse=True)
def warn_again() -> Iterator[None]:
    """Let each test see the warning that a process logs once."""
    backend._warn_once.cache_clear()
    yield
    backend._warn_once.cache_clear()


def vector(seed: int) -> list[float]:
    numbers = random.Random(seed)
    return [numbers.gauss(0.5) for _ in range(DIMENSION)]


async def search(database: Database) -> list[tuple[int, float]]:
    await database.close()
    async with database.read_session() as session:
        hits = await nearest(session, vector(0), k=100)
        # Distances of the SQL function itself, not those that `nearest` computes.
        query = text(
            "SELECT id, vec_distance_cosine(embedding, :v) FROM documents ORDER BY 2, 1"
        )
        rows = await session.execute(query, {"v": backend.encode(vector(0))})
        distances = {row[0]: row[1] for row in rows}
    for hit in hits:
        assert distances[hit.document.id] == pytest.approx(hit.distance, abs=1e-6)
    return [(hit.document.id, hit.distance) for hit in hits]


async def test_numpy_compares_like_the_extension(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with database.transaction() as session:
        session.add_all(
            Document(text=f"{seed}", embedding=vector(seed)) for seed in range(200)
        )
    by_extension = await search(database)
    not_loaded = bool(caplog.messages)
    caplog.clear()
    backend._warn_once.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_vec, "loadable_path", lambda: MISSING_EXTENSION)
        by_numpy = await search(database)
    assert [message for message in caplog.messages if "NumPy compares" in message]
    assert [id for id, _ in by_numpy] == [id for id, _ in by_extension]
    for (_, one), (_, other) in zip(by_numpy, by_extension, strict=True):
        assert one == pytest.approx(other, abs=1e-6)
    if not_loaded:
        pytest.skip("this Python cannot load extensions: NumPy compared both times")


async def test_missing_extension_is_logged_once(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(sqlite_vec, "loadable_path", lambda: MISSING_EXTENSION)
    for _ in range(2):
        async with database.transaction() as session:
            await nearest(session, vector(0))
        async with database.read_session() as session:
            await nearest(session, vector(0))
            await nearest(session, vector(1))
        await database.close()
    assert len(caplog.messages) == 1


async def test_extension_loading_is_disabled_afterwards(database: Database) -> None:
    async with database.read_session() as session:
        await nearest(session, vector(0))
        with pytest.raises(Exception, match=r"not authorized|no such function"):
            await session.execute(text("SELECT load_extension('x')"))


async def test_table_refuses_a_vector_of_wrong_length(database: Database) -> None:
    with pytest.raises(IntegrityError, match="ck_documents_embedding"):
        async with database.transaction() as session:
            await session.execute(
                text(
                    "INSERT INTO documents (embedding, details, text)"
                    " VALUES (x'00000000', '{}', 'x')"
                )
            )
