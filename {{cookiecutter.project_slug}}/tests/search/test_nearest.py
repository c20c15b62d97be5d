"""Tests of the search for the nearest documents."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.search.models import (
    DIMENSION,
    Document,
)
from {{cookiecutter.project_slug}}.search.nearest import (
    MOST,
    nearest,
)

from statements import Statements

ODD_KEY = 'a "key" with.dots, é and \\'


def point(*numbers: float) -> list[float]:
    """Make a vector of numbers, and of zeros after them."""
    return [*numbers, *[0.0] * (DIMENSION - len(numbers))]


def document(text: str, *numbers: float, **details: Any) -> Document:
    """Make a document whose vector has these numbers."""
    return Document(text=text, embedding=point(*numbers), details=details)


async def texts(session: AsyncSession, vector: list[float], **options: Any) -> str:
    return " ".join(
        hit.document.text for hit in await nearest(session, vector, **options)
    )


async def test_the_nearest_come_first_with_their_distances(database: Database) -> None:
    async with database.transaction() as session:
        session.add(document("opposite", -1))
        session.add(document("right angle", 0, 2))
        session.add(document("long", 5))
        session.add(document("between", 1, 1))
    async with database.reader() as session:
        hits = await nearest(session, point(1))
    found = {hit.document.text: hit.distance for hit in hits}
    assert list(found) == ["long", "between", "right angle", "opposite"]
    expected = [0, 1 - 2**-0.5, 1, 2]
    assert list(found.values()) == pytest.approx(expected, abs=1e-9)


async def test_documents_at_the_same_distance_come_in_the_order_of_their_ids(
    session: AsyncSession,
) -> None:
    for text in "abc":
        session.add(document(text, 0.1, 0.2, 0.3))
        await session.flush()
    assert await texts(session, point(0.2, 0.1, 0.3)) == "a b c"


async def test_k_documents_are_found_in_one_statement(database: Database) -> None:
    async with database.transaction() as session:
        session.add_all(document(f"{n}", 1, n) for n in range(50))
    async with database.reader() as session:
        with Statements() as sent:
            assert await texts(session, point(1), k=3) == "0 1 2"
    assert len(sent) == 1


async def test_a_transaction_finds_what_it_has_added(session: AsyncSession) -> None:
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
async def test_filters_are_respected(
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


async def test_the_few_that_pass_a_filter_are_found_among_many_that_are_nearer(
    database: Database,
) -> None:
    async with database.transaction() as session:
        session.add_all(document("near", 1, n / 1000) for n in range(500))
        session.add_all(document("far", -1, n, rare=True) for n in range(3))
    async with database.reader() as session:
        found = await texts(session, point(1), filters={"rare": True})
    assert found == "far far far"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"vector": [1.0]}, "a vector has 384 numbers here, not 1"),
        ({"vector": [float("nan")] * 384}, "only finite numbers"),
        ({"vector": [1.0] * 383 + [float("inf")]}, "only finite numbers"),
        ({"vector": [0.0] * 384}, "a vector of zeros points nowhere"),
        ({"vector": [1e30] * 384}, "too long or too short"),
        ({"vector": [1e-30] * 384}, "too long or too short"),
        ({"k": 0}, f"k is a whole number from 1 to {MOST}, not 0"),
        ({"k": MOST + 1}, f"k is a whole number from 1 to {MOST}, not {MOST + 1}"),
        ({"k": 2.5}, "k is a whole number"),
        ({"filters": {"tags": {"a": 1}}}, "the filter 'tags' compares with texts"),
        ({"filters": {"year": float("nan")}}, "compares with finite numbers"),
        ({"filters": {"year": 2**63}}, "compares with numbers of 64 bits"),
        ({"filters": {"year": ["\0"]}}, "has a NUL"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_cannot_be_meant_is_refused_in_one_sentence(
    session: AsyncSession, change: dict[str, Any], sentence: str
) -> None:
    arguments: dict[str, Any] = {"session": session, "vector": point(1)}
    with pytest.raises(ValueError, match=sentence) as error:
        await nearest(**arguments | change)
    assert "\n" not in str(error.value)
