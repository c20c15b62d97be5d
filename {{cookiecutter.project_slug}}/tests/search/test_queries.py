"""Tests of the search for the nearest documents."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from {{cookiecutter.project_slug}}.db import Database
from {{cookiecutter.project_slug}}.search.models import (
    DIMENSION,
    Document,
)
from {{cookiecutter.project_slug}}.search.queries import (
    MAX_K,
    nearest,
)

from support.query_counter import QueryCounter

ODD_KEY = 'a "key" with.dots, é and \\'


def point(*numbers: float) -> list[float]:
    """Return a vector of these numbers, padded with zeros."""
    return [*numbers, *[0.0] * (DIMENSION - len(numbers))]


def document(text: str, *numbers: float, **details: Any) -> Document:
    """Return a document with a vector of these numbers."""
    return Document(text=text, embedding=point(*numbers), details=details)


async def texts(session: AsyncSession, vector: list[float], **options: Any) -> str:
    return " ".join(
        hit.document.text for hit in await nearest(session, vector, **options)
    )


async def test_hits_are_sorted_by_distance(database: Database) -> None:
    async with database.transaction() as session:
        session.add(document("opposite", -1))
        session.add(document("right angle", 0, 2))
        session.add(document("long", 5))
        session.add(document("between", 1, 1))
    async with database.read_session() as session:
        hits = await nearest(session, point(1))
    found = {hit.document.text: hit.distance for hit in hits}
    assert list(found) == ["long", "between", "right angle", "opposite"]
    expected = [0, 1 - 2**-0.5, 1, 2]
    assert list(found.values()) == pytest.approx(expected, abs=1e-9)


async def test_hits_at_equal_distance_are_sorted_by_id(
    session: AsyncSession,
) -> None:
    for text in "abc":
        session.add(document(text, 0.1, 0.2, 0.3))
        await session.flush()
    assert await texts(session, point(0.2, 0.1, 0.3)) == "a b c"


async def test_search_is_one_statement(database: Database) -> None:
    async with database.transaction() as session:
        session.add_all(document(f"{n}", 1, n) for n in range(50))
    async with database.read_session() as session:
        with QueryCounter() as queries:
            assert await texts(session, point(1), k=3) == "0 1 2"
    assert len(queries) == 1


async def test_transaction_finds_its_own_documents(session: AsyncSession) -> None:
    assert await nearest(session, point(1)) == []
    session.add(document("new", 1))
    assert await texts(session, point(1)) == "new"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, "a b c d e f g"),
        ({"kind": "note"}, "a b"),
        ({"kind": "note", "year": 2026}, "b"),
        ({"kind": "nothing"}, ""),
        ({"year": [2025, 2026]}, "a b c"),
        ({"year": {2025.0}}, "a"),
        ({"year": []}, ""),
        ({"year": None}, "e"),
        ({"year": [None, "2026"]}, "d e"),
        ({"done": True}, "f"),
        ({"done": 1}, "g"),
        ({"missing": None}, ""),
        ({ODD_KEY: "é'\""}, "c"),
    ],
    ids=str,
)
async def test_filters_select_by_details(
    session: AsyncSession,
    filters: dict[str, Any],
    expected: str,
) -> None:
    session.add_all(
        [
            document("a", 1, 0.0, kind="note", year=2025),
            document("b", 1, 0.1, kind="note", year=2026),
            document("c", 1, 0.2, year=2026.0, **{ODD_KEY: "é'\""}),
            document("d", 1, 0.3, year="2026", tags=["note"]),
            document("e", 1, 0.4, year=None, kind={"of": "note"}),
            document("f", 1, 0.5, done=True, kind=["note"]),
            document("g", 1, 0.6, done=1),
        ]
    )
    assert await texts(session, point(1), filters=filters) == expected


async def test_filtered_search_finds_rare_documents_far_off(
    database: Database,
) -> None:
    async with database.transaction() as session:
        session.add_all(document("near", 1, n / 1000) for n in range(500))
        session.add_all(document("far", -1, n, rare=True) for n in range(3))
    async with database.read_session() as session:
        found = await texts(session, point(1), filters={"rare": True})
    assert found == "far far far"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vector": [1.0]}, f"a vector needs {DIMENSION} numbers, not 1"),
        ({"vector": [float("nan")] * DIMENSION}, "finite numbers only"),
        ({"vector": [1.0] * (DIMENSION - 1) + [float("inf")]}, "finite numbers only"),
        ({"vector": [0.0] * DIMENSION}, "a vector of zeros has no direction"),
        ({"vector": [1e30] * DIMENSION}, "too long or too short"),
        ({"vector": [1e-30] * DIMENSION}, "too long or too short"),
        ({"k": 0}, f"k must be an integer from 1 to {MAX_K}, not 0"),
        ({"k": MAX_K + 1}, f"from 1 to {MAX_K}, not {MAX_K + 1}"),
        ({"k": 2.5}, "k must be an integer"),
        ({"filters": {"tags": {"a": 1}}}, "filter 'tags' takes strings"),
        ({"filters": {"year": float("nan")}}, "takes finite numbers only"),
        ({"filters": {"year": 2**63}}, "takes integers of at most 64 bits"),
        ({"filters": {"year": ["\0"]}}, "contains NUL"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_invalid_argument_is_refused_in_one_line(
    session: AsyncSession, change: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {"session": session, "vector": point(1)}
    with pytest.raises(ValueError, match=message) as error:
        await nearest(**arguments | change)
    assert "\n" not in str(error.value)
