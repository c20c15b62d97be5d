"""Promises of the data layer on SQLite; runs in a rendered project."""

import asyncio
import os
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from async_app.db import Database, Repository
from async_app.settings import Settings
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncSession
from support.models import Item

WRITER = """
import asyncio, sys
from async_app.db import Database
from async_app.settings import Settings
from sqlalchemy import text

async def main(path, tasks, times):
    settings = Settings(_env_file=None, database_url=path)
    async with Database(settings) as database:
        async def grow():
            for _ in range(times):
                async with database.transaction() as session:
                    n = await session.scalar(text("SELECT n FROM counter"))
                    await asyncio.sleep(0)
                    await session.execute(
                        text("UPDATE counter SET n = :n"), {"n": n + 1}
                    )
        await asyncio.gather(*(grow() for _ in range(tasks)))

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


async def run_writers(
    settings: Settings, folder: Path, processes: int, tasks: int, times: int
) -> None:
    (folder / "writer.py").write_text(WRITER)
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *(
                str(folder / "writer.py"),
                str(settings.database_url),
                f"{tasks}",
                f"{times}",
            ),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(processes)
    ]
    assert [await child.wait() for child in children] == [0] * processes


@pytest.fixture
async def counter(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE counter (n INTEGER)"))
        await session.execute(text("INSERT INTO counter VALUES (0)"))


async def count(database: Database) -> int:
    async with database.read_session() as session:
        return int(await session.scalar(text("SELECT n FROM counter")) or 0)


@pytest.mark.usefixtures("counter")
@pytest.mark.parametrize("processes", [1, 4])
async def test_nothing_is_lost_and_readers_continue(
    settings: Settings, database: Database, tmp_path: Path, processes: int
) -> None:
    seen: list[int] = []

    async def read() -> None:
        while True:
            seen.append(await count(database))
            await asyncio.sleep(0.001)

    reading = asyncio.create_task(read())
    await run_writers(settings, tmp_path, processes, 64 // processes, 20)
    reading.cancel()
    assert await count(database) == 1280
    assert seen == sorted(seen)
    assert len(set(seen)) > 10


async def test_eight_processes_may_create_the_file_at_once(
    tmp_path: Path,
) -> None:
    script = tmp_path / "first.py"
    script.write_text(
        "import asyncio, sys\n"
        "from async_app.db import Database\n"
        "from async_app.settings import Settings\n"
        "from sqlalchemy import text\n"
        "async def main():\n"
        "    settings = Settings(_env_file=None, database_url=sys.argv[1])\n"
        "    async with Database(settings) as database:\n"
        "        await database.ping()\n"
        "        async with database.transaction() as session:\n"
        "            await session.execute(\n"
        "                text('CREATE TABLE IF NOT EXISTS t (x)'))\n"
        "            await session.execute(text('INSERT INTO t VALUES (1)'))\n"
        "asyncio.run(main())\n"
    )
    for attempt in range(3):
        url = f"sqlite:///{tmp_path / f'{attempt}.db'}"
        children = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                str(script),
                url,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )
            for _ in range(8)
        ]
        assert [await child.wait() for child in children] == [0] * 8


@pytest.mark.usefixtures("items")
async def test_readers_and_writers_do_not_wait_for_each_other(
    settings: Settings, database: Database
) -> None:
    async with database.transaction() as session:
        session.add_all(Item(name=f"{number}") for number in range(1000))
    # Blocks are nested, so one that waited for the other would wait for ever.
    async with asyncio.timeout(10), database.read_session() as reader:
        result = await reader.stream(select(Item.name).execution_options(yield_per=10))
        assert await result.fetchone()
        async with Database(settings) as another, another.transaction() as writer:
            writer.add(Item(name="new"))
            await writer.flush()
            async with database.read_session() as second:
                assert not await second.scalar(select(Item).where(Item.name == "new"))
        async with database.transaction() as writer:
            writer.add(Item(name="newer"))
        assert len(await result.all()) == 999


async def test_writers_are_served_in_order(database: Database) -> None:
    order: list[str] = []

    async def write(name: str) -> None:
        for _ in range(30):
            async with database.transaction() as session:
                await session.execute(text("SELECT 1"))
                order.append(name)

    await asyncio.gather(*(write(name) for name in "abcd"))
    longest = max(
        later - earlier
        for name in "abcd"
        for earlier, later in zip(
            [i for i, each in enumerate(order) if each == name],
            [i for i, each in enumerate(order) if each == name][1:],
            strict=False,
        )
    )
    print(f"a writer waited for at most {longest - 1} others")
    assert longest <= 8


@pytest.mark.usefixtures("counter")
async def test_a_busy_file_is_retried(settings: Settings, database: Database) -> None:
    impatient = settings.model_copy(update={"database_busy_timeout": 0})
    attempts = 0
    held = asyncio.Event()

    async def hold() -> None:
        async with database.transaction() as session:
            await session.execute(text("UPDATE counter SET n = n + 1"))
            held.set()
            await asyncio.sleep(0.3)

    async with Database(impatient) as other:

        async def grow(session: object) -> None:
            nonlocal attempts
            attempts += 1
            await session.execute(text("UPDATE counter SET n = n + 1"))  # type: ignore[attr-defined]

        holding = asyncio.create_task(hold())
        await held.wait()
        await other.run_in_transaction(grow)
        await holding
    assert attempts > 1
    assert await count(database) == 2


async def insert_or_roll_back(session: AsyncSession) -> None:
    """Violate a constraint in the way that makes SQLite revert the transaction."""
    name = {"name": "stone"}
    sql = "INSERT OR ROLLBACK INTO test_support_items (name, size) VALUES (:name, 1)"
    await session.execute(text(sql), name)


async def fill_the_disk(session: AsyncSession) -> None:
    await session.execute(text("PRAGMA max_page_count = 1"))
    big = ({"name": f"{n}", "notes": {"text": "x" * 9000}} for n in range(1000))
    await Repository[Item](session).create_many(big)


@pytest.mark.usefixtures("items")
@pytest.mark.parametrize("in_savepoint", [False, True])
@pytest.mark.parametrize(
    ("work", "reason"),
    [(insert_or_roll_back, "constraint failed"), (fill_the_disk, "disk is full")],
)
async def test_nothing_is_stored_after_sqlite_has_rolled_back(
    database: Database, work: Any, reason: str, in_savepoint: bool
) -> None:
    async with database.transaction() as session:
        session.add(Item(name="stone"))
    with pytest.raises(PendingRollbackError, match=reason):
        async with database.transaction() as session:
            await Repository[Item](session).create(name="before")
            with pytest.raises((DBAPIError, PendingRollbackError), match=reason):
                async with session.begin_nested() if in_savepoint else nullcontext():
                    await work(session)
            with suppress(PendingRollbackError):
                await Repository[Item](session).create(name="after")
    async with database.read_session() as session:
        assert (await session.scalars(select(Item.name))).all() == ["stone"]
    async with database.transaction() as session:
        await session.execute(text("PRAGMA max_page_count = 1000000"))
        await Repository[Item](session).create(name="later")
