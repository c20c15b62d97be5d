"""Promises of the data layer behind PgBouncer; runs in a rendered project."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from async_app.db import Database
from async_app.settings import Settings
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from support import pgbouncer

CACHE = Path(os.environ["PGBOUNCER_CACHE"])
STATEMENTS = 10_000

# Both processes send statements with the same signature and different results.
WORKER = """
import asyncio, json, sys
from async_app.db import Database
from async_app.settings import Settings
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

url, kind, salt, statements = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
SESSIONS = 25

async def main():
    settings = Settings(_env_file=None, database_url=url,
        database_pooler="transaction", database_pool_size=SESSIONS)
    database = Database(settings)
    stock = create_async_engine(settings.sqlalchemy_url, pool_size=SESSIONS)
    right = wrong = 0
    errors = []

    def ours(n):
        return database.read_session() if n % 2 else database.transaction()

    def theirs(n):
        return stock.connect()

    async def run_statements(task):
        nonlocal right, wrong
        for n in range(statements // SESSIONS):
            number = salt + (n + task) % 10
            query = text(f"SELECT CAST(:x AS bigint) + {number}")
            try:
                async with (ours if kind == "ours" else theirs)(n) as session:
                    if await session.scalar(query, {"x": n}) == n + number:
                        right += 1
                    else:
                        wrong += 1
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}"[:200])

    await asyncio.gather(*(run_statements(task) for task in range(SESSIONS)))
    print(json.dumps([right, wrong, len(errors), errors[:3]]))
    await database.close()
    await stock.dispose()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def pooled() -> Iterator[str]:
    server = os.environ["TEST_DATABASE_URL"]
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        pgbouncer.find(CACHE)
    except pgbouncer.PgBouncerUnavailableError as reason:
        pytest.skip(f"no PgBouncer: {reason}")
    with pgbouncer.run(server, CACHE) as url:
        yield url


async def run_workers(url: str, kind: str, folder: Path) -> tuple[int, int, int]:
    (folder / "worker.py").write_text(WORKER)
    children = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, str(folder / "worker.py"), url, kind),
            *(f"{salt}", f"{STATEMENTS // 2}"),
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for salt in (1_000_000, 2_000_000)
    ]
    outputs = [(await child.communicate())[0] for child in children]
    results = [json.loads(each) for each in outputs]
    print(kind, results)
    right, wrong, errors = (sum(each[i] for each in results) for i in range(3))
    return right, wrong, errors


async def test_each_result_belongs_to_its_statement(
    pooled: str, tmp_path: Path
) -> None:
    assert await run_workers(pooled, "ours", tmp_path) == (STATEMENTS, 0, 0)


async def test_the_stock_engine_mixes_results_up(pooled: str, tmp_path: Path) -> None:
    right, wrong, errors = await run_workers(pooled, "stock", tmp_path)
    assert wrong + errors > 0
    assert right < STATEMENTS


async def test_limits_do_not_leak_to_other_clients(pooled: str) -> None:
    settings = Settings(
        _env_file=None,
        database_url=pooled,
        database_pooler="transaction",
        database_statement_timeout=1.5,
    )
    limit = text("SHOW statement_timeout")
    async with Database(settings) as database:
        async with database.transaction() as session:
            assert await session.scalar(limit) == "1500ms"
        plain = create_async_engine(
            settings.sqlalchemy_url, connect_args={"statement_cache_size": 0}
        )
        async with plain.connect() as connection:
            assert await connection.scalar(limit) == "0"
        await plain.dispose()
