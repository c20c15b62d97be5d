"""Tests of vector search on PostgreSQL."""

import pytest
from sqlalchemy import insert, text

from {{cookiecutter.project_slug}}.db import Database
from {{cookiecutter.project_slug}}.search.models import (
    DIMENSION,
    Document,
)
from {{cookiecutter.project_slug}}.search.queries import nearest

from support.query_counter import QueryCounter

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


async def test_search_scans_the_index(database: Database) -> None:
    await fill(database, 300)
    scans = text("SELECT pg_stat_get_xact_numscans('ix_documents_embedding'::regclass)")
    async with database.transaction() as session:
        # The planner prefers to scan a small table.
        await session.execute(text("SET LOCAL enable_seqscan = off"))
        await session.execute(text("SET LOCAL enable_sort = off"))
        assert await session.scalar(scans) == 0
        await nearest(session, VECTOR)
        assert await session.scalar(scans) == 1


async def test_incomplete_index_scan_falls_back_to_full_scan(
    database: Database,
) -> None:
    await fill(database, 600)
    async with database.transaction() as session:
        for setting in ("enable_seqscan", "enable_sort", "enable_bitmapscan"):
            await session.execute(text(f"SET LOCAL {setting} = off"))
        await session.execute(text("SET LOCAL hnsw.max_scan_tuples = 1"))
        with QueryCounter() as queries:
            hits = await nearest(session, VECTOR, k=60, filters={"tenth": 3})
    assert len(queries) == 2
    assert len(hits) == 60


async def test_search_sets_ef_search_in_its_own_statement(database: Database) -> None:
    await fill(database, 300)
    for open_session in (database.read_session, database.transaction):
        async with open_session() as session:
            with QueryCounter() as queries:
                assert len(await nearest(session, VECTOR, k=90)) == 90
            assert len(queries) == 1


async def test_ef_search_is_reset_when_the_transaction_ends(
    database: Database,
) -> None:
    await fill(database, 20)
    show = text("SELECT current_setting('hnsw.ef_search')")
    async with database.transaction() as session:
        await nearest(session, VECTOR, k=20)
        assert await session.scalar(show) == "200"
        await nearest(session, VECTOR, k=300)
        assert await session.scalar(show) == "600"
    async with database.read_session() as session:
        await nearest(session, VECTOR, k=20)
        assert await session.scalar(show) == "40"


@pytest.mark.parametrize("k", [1, 50, 1000])
async def test_selective_filter_returns_every_match(database: Database, k: int) -> None:
    await fill(database, 600)
    async with database.read_session() as session:
        hits = await nearest(session, VECTOR, k=k, filters={"tenth": 3})
    assert len(hits) == min(k, 60)
    assert {hit.document.details["tenth"] for hit in hits} == {3}
    assert [int(hit.document.text) for hit in hits[:3]] == [3, 13, 23][:k]
