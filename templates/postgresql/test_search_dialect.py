"""Tests of what the search knows about PostgreSQL."""

import pytest
from sqlalchemy import insert, text

from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.search.models import (
    DIMENSION,
    Document,
)
from {{cookiecutter.project_slug}}.search.nearest import nearest

from statements import Statements

VECTOR = [1.0] * DIMENSION


async def fill(database: Database, count: int) -> None:
    rows = [
        {
            "text": f"{n}",
            "embedding": [1.0 + n, *VECTOR[1:]],
            "details": {"tenth": n % 10},
        }
        for n in range(count)
    ]
    async with database.transaction() as session:
        await session.execute(insert(Document), rows)
        await session.execute(text("ANALYZE documents"))


async def test_a_search_reads_the_index(database: Database) -> None:
    await fill(database, 300)
    scans = text("SELECT pg_stat_get_xact_numscans('ix_documents_embedding'::regclass)")
    async with database.transaction() as session:
        # A table of a few rows is read faster than an index.
        await session.execute(text("SET LOCAL enable_seqscan = off"))
        await session.execute(text("SET LOCAL enable_sort = off"))
        assert await session.scalar(scans) == 0
        await nearest(session, VECTOR)
        assert await session.scalar(scans) == 1


async def test_what_the_index_gives_up_on_is_searched_without_it(
    database: Database,
) -> None:
    await fill(database, 600)
    async with database.transaction() as session:
        for setting in ("enable_seqscan", "enable_sort", "enable_bitmapscan"):
            await session.execute(text(f"SET LOCAL {setting} = off"))
        await session.execute(text("SET LOCAL hnsw.max_scan_tuples = 1"))
        with Statements() as sent:
            hits = await nearest(session, VECTOR, k=60, filters={"tenth": 3})
    assert len(sent) == 2
    assert len(hits) == 60


async def test_a_search_makes_its_effort_in_one_statement(database: Database) -> None:
    await fill(database, 300)
    for session_of in (database.reader, database.transaction):
        async with session_of() as session:
            with Statements() as sent:
                assert len(await nearest(session, VECTOR, k=90)) == 90
            assert len(sent) == 1


async def test_the_effort_of_a_search_ends_with_its_transaction(
    database: Database,
) -> None:
    await fill(database, 20)
    show = text("SELECT current_setting('hnsw.ef_search')")
    async with database.transaction() as session:
        await nearest(session, VECTOR, k=20)
        assert await session.scalar(show) == "200"
        await nearest(session, VECTOR, k=300)
        assert await session.scalar(show) == "600"
    async with database.reader() as session:
        await nearest(session, VECTOR, k=20)
        assert await session.scalar(show) == "40"


@pytest.mark.parametrize("k", [1, 50, 1000])
async def test_a_filter_that_one_of_ten_passes_gives_as_many_as_there_are(
    database: Database, k: int
) -> None:
    await fill(database, 600)
    async with database.reader() as session:
        hits = await nearest(session, VECTOR, k=k, filters={"tenth": 3})
    assert len(hits) == min(k, 60)
    assert {hit.document.details["tenth"] for hit in hits} == {3}
    assert [int(hit.document.text) for hit in hits[:3]] == [3, 13, 23][:k]
