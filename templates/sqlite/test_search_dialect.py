"""Tests of what the search knows about SQLite."""

import logging
import random
from collections.abc import Iterator

import pytest
import sqlite_vec
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.search import dialect
from {{cookiecutter.project_slug}}.search.models import (
    DIMENSION,
    Document,
)
from {{cookiecutter.project_slug}}.search.nearest import nearest

NOWHERE = "/there/is/nothing/here"


@pytest.fixture(autouse=True)
def said_nothing_yet() -> Iterator[None]:
    """Let each test be the first to log."""
    dialect._say_once.cache_clear()
    yield
    dialect._say_once.cache_clear()


def vector(seed: int) -> list[float]:
    numbers = random.Random(seed)
    return [numbers.gauss(0.5) for _ in range(DIMENSION)]


async def found(database: Database) -> list[tuple[int, float]]:
    await database.close()
    async with database.reader() as session:
        hits = await nearest(session, vector(0), k=100)
        # What the function itself says, before distances are computed anew.
        query = text(
            "SELECT id, vec_distance_cosine(embedding, :v) FROM documents ORDER BY 2, 1"
        )
        rows = await session.execute(query, {"v": dialect.encode(vector(0))})
        distances = {row[0]: row[1] for row in rows}
    for hit in hits:
        assert distances[hit.document.id] == pytest.approx(hit.distance, abs=1e-6)
    return [(hit.document.id, hit.distance) for hit in hits]


async def test_python_compares_as_the_extension_does(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with database.transaction() as session:
        session.add_all(
            Document(text=f"{seed}", embedding=vector(seed)) for seed in range(200)
        )
    by_extension = await found(database)
    cannot = bool(caplog.messages)
    caplog.clear()
    dialect._say_once.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_vec, "loadable_path", lambda: NOWHERE)
        by_python = await found(database)
    assert [message for message in caplog.messages if "Python compares" in message]
    assert [id for id, _ in by_python] == [id for id, _ in by_extension]
    for (_, one), (_, other) in zip(by_python, by_extension, strict=True):
        assert one == pytest.approx(other, abs=1e-6)
    if cannot:
        pytest.skip("this Python cannot load extensions: it compared both times")


async def test_that_python_compares_is_said_once(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(sqlite_vec, "loadable_path", lambda: NOWHERE)
    for _ in range(2):
        async with database.transaction() as session:
            await nearest(session, vector(0))
        async with database.reader() as session:
            await nearest(session, vector(0))
            await nearest(session, vector(1))
        await database.close()
    assert len(caplog.messages) == 1


async def test_no_other_extension_can_be_loaded_afterwards(database: Database) -> None:
    async with database.reader() as session:
        await nearest(session, vector(0))
        with pytest.raises(Exception, match=r"not authorized|no such function"):
            await session.execute(text("SELECT load_extension('x')"))


async def test_a_vector_of_another_length_is_refused_by_the_table(
    database: Database,
) -> None:
    with pytest.raises(IntegrityError, match="ck_documents_embedding"):
        async with database.transaction() as session:
            await session.execute(
                text(
                    "INSERT INTO documents (embedding, details, text)"
                    " VALUES (x'00000000', '{}', 'x')"
                )
            )
