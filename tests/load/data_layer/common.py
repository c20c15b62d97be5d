"""Promises of the data layer on either database; runs in a rendered project."""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from async_app.db import Database, Repository
from sqlalchemy import event, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.pool import Pool
from support.models import Colour, Item

pytestmark = pytest.mark.usefixtures("items")


async def add(database: Database, name: str = "stone") -> None:
    async with database.transaction() as session:
        session.add(Item(name=name, size=0))


async def stored(database: Database) -> int:
    async with database.read_session() as session:
        return await Repository[Item](session).count()


async def test_connections_are_reused_under_load(
    database: Database,
) -> None:
    opened: list[Any] = []

    def remember(connection: Any, _record: Any) -> None:
        opened.append(connection)

    event.listen(Pool, "connect", remember)

    async def read_often() -> None:
        for _ in range(20):
            await stored(database)

    await asyncio.gather(*(read_often() for _ in range(64)))
    event.remove(Pool, "connect", remember)
    assert 1 < len(opened) <= database.settings.database_pool_size


async def test_colliding_work_is_retried_until_nothing_is_lost(
    database: Database,
) -> None:
    await add(database)
    attempts: list[int] = []

    async def grow_often() -> None:
        for _ in range(50):
            attempts.append(0)
            mine = len(attempts) - 1

            async def grow(session: AsyncSession, mine: int = mine) -> None:
                attempts[mine] += 1
                item = (await session.scalars(select(Item))).one()
                await asyncio.sleep(0)
                item.size += 1

            await database.run_in_transaction(grow, isolation="SERIALIZABLE")

    await asyncio.gather(*(grow_often() for _ in range(32)))
    async with database.read_session() as session:
        assert await session.scalar(select(Item.size)) == 1600
    print(f"at most {max(attempts)} attempts, {sum(attempts)} in all")


async def test_a_violated_constraint_is_never_retried(
    database: Database,
) -> None:
    await add(database)
    attempts = 0

    async def work(session: AsyncSession) -> None:
        nonlocal attempts
        attempts += 1
        session.add(Item(name="stone"))

    with pytest.raises(IntegrityError):
        await database.run_in_transaction(work)
    assert attempts == 1


async def test_a_thousand_cancelled_transactions_leave_nothing(
    database: Database,
) -> None:
    chance = random.Random(7)

    async def write(number: int) -> None:
        async with database.transaction() as session:
            await session.execute(select(Item))
            session.add(Item(name=f"{number}"))
            await session.flush()
            await asyncio.sleep(60)

    async def cancel(number: int) -> None:
        task = asyncio.create_task(write(number))
        await asyncio.sleep(chance.random() * 0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for start in range(0, 1000, 50):
        # A lock that outlives its connection would block the others for 30 s.
        async with asyncio.timeout(20):
            await asyncio.gather(*(cancel(start + number) for number in range(50)))
    assert database.pool_status()["in_use"] == 0
    assert await stored(database) == 0
    await asyncio.gather(*(add(database, f"after {n}") for n in range(30)))
    assert await stored(database) == 30
    assert database.pool_status()["in_use"] == 0


async def test_a_timeout_stores_nothing(database: Database) -> None:
    for _ in range(20):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02), database.transaction() as session:
                session.add(Item(name="stone"))
                await session.flush()
                await asyncio.sleep(60)
    assert database.pool_status()["in_use"] == 0
    assert await stored(database) == 0


async def test_an_abandoned_generator_stores_nothing(database: Database) -> None:
    async def rows() -> AsyncIterator[Item]:
        async with database.transaction() as session:
            for number in range(10):
                item = Item(name=f"{number}")
                session.add(item)
                await session.flush()
                yield item

    generator = rows()
    assert (await anext(generator)).name == "0"
    await generator.aclose()  # type: ignore[attr-defined]
    assert database.pool_status()["in_use"] == 0
    assert await stored(database) == 0


async def test_a_client_that_disconnects_stores_nothing(database: Database) -> None:
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def handle() -> None:
            async with database.transaction() as session:
                session.add(Item(name="stone"))
                await session.flush()
                writer.write(b"half")
                await asyncio.sleep(60)

        task = asyncio.create_task(handle())
        await reader.read()  # returns when the client is gone
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        writer.close()
        done.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    assert await reader.read(4) == b"half"
    writer.close()
    await done.wait()
    server.close()
    assert database.pool_status()["in_use"] == 0
    assert await stored(database) == 0


async def test_a_million_rows_take_no_memory(database: Database) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    process = psutil.Process()
    most = before = process.memory_info().rss

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal most
        for number in range(1_000_000):
            if number % 10_000 == 0:
                most = max(most, process.memory_info().rss)
            yield {
                "name": f"{number}",
                "colour": Colour.RED if number % 2 else Colour.DEEP_BLUE,
                "seen_at": moment if number % 3 else None,
                "notes": {"n": number} if number % 5 else None,
            }

    async with database.transaction() as session:
        assert await Repository[Item](session).create_many(rows()) == 1_000_000
    assert await stored(database) == 1_000_000
    added = (max(most, process.memory_info().rss) - before) / 1e6
    print(f"{added:.0f} MB of added memory")
    assert added < 150


async def test_pages_stay_whole_while_another_process_inserts(
    database: Database, tmp_path: Path
) -> None:
    for number in range(300):
        await add(database, f"old {number}")
    # Each row is inserted before or after the cursor, with ties in the ordered column.
    script = tmp_path / "insert.py"
    script.write_text(
        "import asyncio, itertools, sys\n"
        "from async_app.db import Database\n"
        "from async_app.settings import Settings\n"
        "from support.models import Item\n"
        "async def main():\n"
        "    settings = Settings(_env_file=None, database_url=sys.argv[1])\n"
        "    async with Database(settings) as database:\n"
        "        for n in itertools.count():\n"
        "            async with database.transaction() as session:\n"
        "                session.add(Item(name=f'new {n}', size=n % 3 - 1))\n"
        "            if n == 0: print('ready', flush=True)\n"
        "asyncio.run(main())\n"
    )
    url: Any = database.settings.sqlalchemy_url.render_as_string(hide_password=False)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        url,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert child.stdout is not None
        assert await child.stdout.readline() == b"ready\n"
        for descending in (False, True):
            for back in (False, True):
                names = [n async for n in _iterate_pages(database, descending, back)]
                old = [name for name in names if name.startswith("old")]
                assert len(names) == len(set(names))
                assert sorted(old) == sorted(f"old {n}" for n in range(300))
    finally:
        child.terminate()
        await child.wait()


async def _iterate_pages(
    database: Database, descending: bool, back: bool
) -> AsyncIterator[str]:
    bound: dict[str, Any] = {}
    if back:  # from after the last row
        bound["before"] = (-99, 0) if descending else (99, 0)
    while True:
        async with database.read_session() as session:
            page = await Repository[Item](session).page(
                size=17, order_by=Item.size, descending=descending, **bound
            )
        for item in page.items:
            yield item.name
        cursor = page.previous if back else page.next
        if cursor is None:
            return
        bound = {"before" if back else "after": cursor}
