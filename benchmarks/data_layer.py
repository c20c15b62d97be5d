"""Measures the data layer against others, side by side, in one run.

    python benchmarks/data_layer.py DATABASE_URL

Runs with the Python of a rendered project. Each row is the median of the ratios of
neighbouring rounds, with the lowest and the highest; above 1 means that ours is faster.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from async_app import dialect
from async_app.database import Database
from async_app.repository import Repository
from async_app.settings import Settings
from sqlalchemy import Integer, String, insert, make_url, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Mapped, mapped_column

from async_app.models import Base

Work = Callable[[], Awaitable[None]]
ROUNDS = 7
ROWS = 100_000


class Line(Base):
    """A row of plain columns."""

    number: Mapped[int] = mapped_column(Integer, index=True)
    word: Mapped[str] = mapped_column(String)


async def took(work: Work) -> float:
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


async def compare(
    name: str, ours: Work, theirs: Work, aim: float, rounds: int = ROUNDS
) -> None:
    """Print how many times faster ours is: the other's time over ours."""
    await ours()
    await theirs()
    ratios = []
    for _ in range(rounds):
        mine = await took(ours)
        ratios.append(await took(theirs) / mine)
    middle = statistics.median(ratios)
    reached = "yes" if middle >= aim else "**no**"
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"| {name} | {middle:.2f} | {spread} | {aim:g} | {reached} |", flush=True)


def rows(count: int = ROWS) -> Any:
    return ({"number": n, "word": f"word {n}"} for n in range(count))


async def read(database: Database) -> None:
    stock = create_async_engine(database.settings.address, pool_pre_ping=True)

    async def ours() -> None:
        for n in range(300):
            async with database.reader() as session:
                await session.get(Line, n + 1)

    async def theirs() -> None:
        for n in range(300):
            async with AsyncSession(stock) as session:
                await session.get(Line, n + 1)

    aim = 1.7 if dialect.NAME == "postgresql" else 1
    await compare("read by key: session with pre-ping and BEGIN", ours, theirs, aim)
    await stock.dispose()


async def fill(database: Database) -> None:
    async def empty() -> None:
        async with database.transaction() as session:
            await session.execute(text("DELETE FROM lines"))

    async def ours() -> None:
        async with database.transaction() as session:
            await Repository[Line](session).create_many(rows())
        await empty()

    async def orm() -> None:
        async with database.transaction() as session:
            await session.execute(insert(Line), list(rows()))
        await empty()

    address = make_url(database.settings.address)

    async def raw() -> None:
        plain = ((n, f"word {n}") for n in range(ROWS))
        if dialect.NAME == "postgresql":
            import asyncpg

            url = address.set(drivername="postgresql")
            driver = await asyncpg.connect(url.render_as_string(hide_password=False))
            async with driver.transaction():
                await driver.copy_records_to_table(
                    "lines", columns=["number", "word"], records=plain
                )
        else:
            import aiosqlite

            driver = await aiosqlite.connect(str(address.database))
            await driver.execute("PRAGMA synchronous = NORMAL")
            await driver.executemany(
                "INSERT INTO lines (number, word) VALUES (?, ?)", plain
            )
            await driver.commit()
        await driver.close()
        await empty()

    await compare("create_many of 100,000: the raw driver", ours, raw, 0.8, 5)
    aim = 3 if dialect.NAME == "postgresql" else 1
    await compare("create_many of 100,000: ORM bulk insert", ours, orm, aim, 5)


async def page(database: Database) -> None:
    async def turn() -> None:
        for n in range(100):
            async with database.reader() as session:
                await Repository[Line](session).page(
                    order_by=Line.number, after=(n * 9, n * 9)
                )

    async def times() -> list[float]:
        await turn()
        return [await took(turn) for _ in range(ROUNDS)]

    async with database.transaction() as session:
        await Repository[Line](session).create_many(rows(1_000))
    small = await times()
    async with database.transaction() as session:
        await Repository[Line](session).create_many(rows(1_000_000))
        await session.execute(text("ANALYZE"))
    ratios = [a / b for a, b in zip(small, await times(), strict=True)]
    middle = statistics.median(ratios)
    print(
        f"| page of 50: 1,000,000 rows against 1,000 | {middle:.2f} |"
        f" {min(ratios):.2f} to {max(ratios):.2f} | 0.8 |"
        f" {'yes' if middle >= 0.8 else '**no**'} |"
    )


async def writers(database: Database) -> None:
    async def write(times: int) -> None:
        for n in range(times):
            async with database.transaction() as session:
                session.add(Line(number=n, word="x"))

    async def many() -> None:
        await asyncio.gather(*(write(50) for _ in range(8)))

    await compare("eight writers: one writer", many, lambda: write(400), 0.8)

    async def look() -> None:
        for n in range(300):
            async with database.reader() as session:
                await session.get(Line, n + 1)

    async def beside() -> None:
        async with database.transaction() as session:
            session.add(Line(number=0, word="x"))
            await session.flush()
            await look()

    await compare("reading beside an open write: alone", beside, look, 1 / 1.1)


async def starting(url: str) -> None:
    driver = "asyncpg" if dialect.NAME == "postgresql" else "aiosqlite"
    full = make_url(url).set(drivername=f"{dialect.NAME}+{driver}")
    bare = (
        "import asyncio, pydantic_settings, sqlalchemy.orm\n"
        f"import {driver}\n"
        "from sqlalchemy.ext.asyncio import create_async_engine, AsyncSession\n"
        "async def main():\n"
        f"    engine = create_async_engine({full.render_as_string(False)!r})\n"
        "    async with AsyncSession(engine) as session:\n"
        "        await session.execute(sqlalchemy.text('SELECT 1'))\n"
        "    await engine.dispose()\n"
        "asyncio.run(main())\n"
    )
    mine = (
        "import asyncio\n"
        "from async_app.database import Database\n"
        "from async_app.repository import Repository\n"
        "from async_app.settings import Settings\n"
        "async def main():\n"
        f"    async with Database(Settings(database_url={url!r})) as database:\n"
        "        await database.ping()\n"
        "asyncio.run(main())\n"
    )

    def run(script: str) -> Work:
        async def work() -> None:
            command = [sys.executable, "-c", script]
            await asyncio.to_thread(subprocess.run, command, check=True)

        return work

    await compare("import and first query: bare", run(mine), run(bare), 1 / 1.15)


async def main(url: str) -> None:
    """Print the rows of one database."""
    async with Database(Settings(_env_file=None, database_url=url)) as database:
        async with database.engine.begin() as connection:
            await connection.run_sync(Line.__table__.drop, checkfirst=True)
            await connection.run_sync(Line.__table__.create)
        await fill(database)
        async with database.transaction() as session:
            await Repository[Line](session).create_many(rows(1000))
        await read(database)
        if dialect.NAME == "sqlite":
            await writers(database)
        await page(database)
        await starting(url)


if __name__ == "__main__":
    asyncio.run(main((sys.argv[1:] or [os.environ["DATABASE_URL"]])[0]))
