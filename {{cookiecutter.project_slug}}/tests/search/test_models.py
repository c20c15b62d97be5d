"""Tests of storing documents with their vectors."""

import pytest
from sqlalchemy import select
from sqlalchemy.exc import StatementError

from {{cookiecutter.project_slug}}.db import Database, Repository
from {{cookiecutter.project_slug}}.search.models import (
    DIMENSION,
    Document,
)


def point(*numbers: float) -> list[float]:
    """Return a vector of these numbers, padded with zeros."""
    return [*numbers, *[0.0] * (DIMENSION - len(numbers))]


async def test_document_is_read_as_it_was_written(database: Database) -> None:
    vector = point(0.1, -2, 3e-7)
    async with database.transaction() as session:
        details = {"year": 2026, "tags": ["é"]}
        session.add(Document(text="ä\n🎉", embedding=vector, details=details))
        session.add(Document(text="no details", embedding=vector))
    async with database.read_session() as session:
        documents = await Repository[Document](session).get_all()
    assert [each.details for each in documents] == [details, {}]
    assert documents[0].text == "ä\n🎉"
    # Single precision has seven digits.
    assert documents[0].embedding == pytest.approx(vector, rel=1e-7)
    assert type(documents[0].embedding) is list


async def test_create_many_stores_documents(database: Database) -> None:
    rows = (
        {"text": f"{n}", "embedding": point(1, n), "details": {"n": n}}
        for n in range(30)
    )
    async with database.transaction() as session:
        assert await Repository[Document](session).create_many(rows) == 30
    async with database.read_session() as session:
        last = await Repository[Document](session).get_last()
    assert (last.text, last.details) == ("29", {"n": 29})
    assert last.embedding == point(1, 29)


@pytest.mark.parametrize(
    "vector",
    [
        [],
        [1.0],
        [0.0] * DIMENSION,
        [float("nan")] * DIMENSION,
        [1e20] * DIMENSION,
    ],
    ids=lambda vector: str(vector)[:40],
)
async def test_invalid_vector_is_not_stored(
    database: Database, vector: list[float]
) -> None:
    with pytest.raises(StatementError, match="a vector"):
        async with database.transaction() as session:
            session.add(Document(text="x", embedding=vector))
    async with database.read_session() as session:
        assert (await session.scalars(select(Document))).all() == []
