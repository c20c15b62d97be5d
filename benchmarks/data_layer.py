"""Compare the data layer with others, side by side, in one run.

    DATABASE_URL=... python benchmarks/data_layer.py

Runs with the Python of a rendered project and advanced-alchemy, creates two databases beside the
named one, and prints rows of a table. Ours and the other alternate; a row has the median of the
ratios of neighbouring rounds, with the lowest and the highest. Above 1 means that ours is faster.
"""

import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
from advanced_alchemy.filters import LimitOffset
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from async_app.db import Database, Model, Repository
from async_app.db.engine import DIALECT_NAME
from async_app.migrations import upgrade
from async_app.models import Post, User
from async_app.settings import Settings
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Mapped, mapped_column, selectinload

Work = Callable[[], Awaitable[None]]
POSTGRESQL = DIALECT_NAME == "postgresql"
ROUNDS = 7
MANY = 100_000
READS = 300


class Line(Model):
    """Model with plain columns."""

    number: Mapped[int] = mapped_column(index=True)
    word: Mapped[str]


class Lines(SQLAlchemyAsyncRepository[Line]):
    """Repository of lines in advanced-alchemy."""

    model_type = Line


class Users(SQLAlchemyAsyncRepository[User]):
    """Repository of users in advanced-alchemy."""

    model_type = User


class SessionPerCall:
    """Repository that opens a session for each call."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Create the session factory."""
        self.sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def get(self, id: int) -> Line | None:
        """Read a line in a new session."""
        async with self.sessions() as session:
            return await session.get(Line, id)

    async def add(self, line: Line) -> None:
        """Insert a line in a new transaction."""
        async with self.sessions() as session, session.begin():
            session.add(line)


async def took(work: Work) -> float:
    """Measure seconds."""
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


def print_row(name: str, other: str, ratios: list[float], aim: float | None) -> None:
    """Print a row of the table."""
    middle = statistics.median(ratios)
    reached = "" if aim is None else "yes" if middle >= aim else "**no**"
    spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
    wanted = "" if aim is None else f"{aim:.2f}"
    row = (name, other, f"{middle:.2f}", spread, wanted, reached)
    print(f"| {' | '.join(row)} |", flush=True)


async def compare(
    name: str, other: str, ours: Work, theirs: Work, aim: float | None, rounds: int
) -> None:
    """Print the ratio of the other's time to ours."""
    await ours()
    await theirs()
    ratios = []
    for number in range(rounds):
        if number % 2:
            theirs_took, ours_took = await took(theirs), await took(ours)
        else:
            ours_took, theirs_took = await took(ours), await took(theirs)
        ratios.append(theirs_took / ours_took)
    print_row(name, other, ratios, aim)


def rows(count: int) -> Any:
    """Yield rows of plain columns."""
    return ({"number": n, "word": f"word {n}"} for n in range(count))


@asynccontextmanager
async def by_the_book(database: Database) -> AsyncIterator[AsyncEngine]:
    """Yield an engine as SQLAlchemy's documentation shows it, with pre-ping.

    On SQLite it has the same pragmas as ours, for the same safety.
    """
    engine = create_async_engine(database.settings.sqlalchemy_url, pool_pre_ping=True)
    if not POSTGRESQL:

        @sa.event.listens_for(engine.sync_engine, "connect")
        def configure(connection: Any, _record: Any) -> None:
            cursor = connection.cursor()
            for pragma in ("foreign_keys = ON", "synchronous = NORMAL"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

    yield engine
    await engine.dispose()


async def raw_connection(database: Database) -> Any:
    """Connect with the driver alone."""
    url = database.settings.sqlalchemy_url
    if POSTGRESQL:
        import asyncpg

        url = url.set(drivername="postgresql")
        return await asyncpg.connect(url.render_as_string(hide_password=False))
    import aiosqlite

    connection = await aiosqlite.connect(str(url.database))
    await connection.execute("PRAGMA foreign_keys = ON")
    await connection.execute("PRAGMA synchronous = NORMAL")
    return connection


async def compare_reads(database: Database) -> None:
    """Read single rows by their keys."""
    name = "read by primary key, a session for each"
    async with database.transaction() as session:
        await Repository[Line](session).create_many(rows(READS))
        await session.flush()
    async with database.read_session() as session:
        first = await session.scalar(sa.select(sa.func.min(Line.id))) or 0
    ids = range(first, first + READS)

    async def ours() -> None:
        for id in ids:
            async with database.read_session() as session:
                await Repository[Line](session).get(id)

    driver = await raw_connection(database)
    mark = "$1" if POSTGRESQL else "?"
    statement = f"SELECT id, number, word FROM lines WHERE id = {mark}"

    async def raw() -> None:
        for id in ids:
            if POSTGRESQL:
                await driver.fetchrow(statement, id)
            else:
                async with driver.execute(statement, (id,)) as cursor:
                    await cursor.fetchone()

    await compare(name, "raw driver, one connection", ours, raw, None, ROUNDS)
    await driver.close()
    async with by_the_book(database) as engine:
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        each = SessionPerCall(engine)

        async def plain() -> None:
            for id in ids:
                async with sessions() as session:
                    await session.get(Line, id)

        async def advanced() -> None:
            for id in ids:
                async with sessions() as session:
                    await Lines(session=session).get(id)

        aim = 1.7 if POSTGRESQL else None
        await compare(name, "SQLAlchemy, pre-ping, BEGIN", ours, plain, aim, ROUNDS)
        await compare(name, "advanced-alchemy", ours, advanced, None, ROUNDS)

        async def ours_in_one() -> None:
            for start in range(0, READS, 10):
                async with database.read_session() as session:
                    lines = Repository[Line](session)
                    for id in ids[start : start + 10]:
                        await lines.get(id)

        async def per_call() -> None:
            for id in ids:
                await each.get(id)

        name = "ten reads in sequence"
        await compare(name, "session per call", ours_in_one, per_call, None, ROUNDS)

        async def ours_write() -> None:
            for id in ids:
                async with database.transaction() as session:
                    session.add(Line(number=id, word="x"))

        async def per_call_write() -> None:
            for id in ids:
                await each.add(Line(number=id, word="x"))

        name = "write of one row"
        await compare(name, "session per call", ours_write, per_call_write, None, 5)


async def compare_inserts(database: Database) -> None:
    """Insert many rows."""
    name = f"create_many of {MANY:,} rows"

    async def empty() -> None:
        async with database.transaction() as session:
            await session.execute(sa.text("DELETE FROM lines"))
        if POSTGRESQL:
            engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
            async with engine.connect() as connection:
                await connection.execute(sa.text("VACUUM lines"))

    async def ours() -> None:
        async with database.transaction() as session:
            await Repository[Line](session).create_many(rows(MANY))

    async def bulk() -> None:
        async with database.transaction() as session:
            await session.execute(sa.insert(Line), list(rows(MANY)))

    async def advanced() -> None:
        async with database.transaction() as session:
            lines = [Line(**row) for row in rows(MANY)]
            await Lines(session=session).add_many(lines)

    driver = await raw_connection(database)

    async def raw() -> None:
        values = ((n, f"word {n}") for n in range(MANY))
        if POSTGRESQL:
            async with driver.transaction():
                await driver.copy_records_to_table(
                    "lines", columns=["number", "word"], records=values
                )
        else:
            insert = "INSERT INTO lines (number, word) VALUES (?, ?)"
            await driver.executemany(insert, values)
            await driver.commit()

    for other, theirs, aim, rounds in (
        ("raw driver", raw, 0.8, ROUNDS),
        ("ORM bulk insert", bulk, 3 if POSTGRESQL else None, 5),
        ("advanced-alchemy add_many", advanced, None, 3),
    ):
        ratios = []
        for number in range(rounds + 1):
            times = {}
            pair = [("ours", ours), ("theirs", theirs)]
            for who, work in pair[:: -1 if number % 2 else 1]:
                await empty()
                times[who] = await took(work)
            if number:
                ratios.append(times["theirs"] / times["ours"])
        print_row(name, other, ratios, aim)
    await driver.close()
    await empty()


async def fill_users(database: Database, count: int) -> None:
    """Insert users, and two posts of each."""
    async with database.transaction() as session:
        users = ({"email": f"{n}@example.com", "name": f"{n}"} for n in range(count))
        await Repository[User](session).create_many(users)
    async with database.transaction() as session:
        first = await session.scalar(sa.select(sa.func.min(User.id))) or 0
        posts = (
            {"title": "t", "body": "b", "author_id": first + n // 2}
            for n in range(2 * count)
        )
        await Repository[Post](session).create_many(posts)
        await session.execute(sa.text("ANALYZE"))


async def compare_pages(small: Database, large: Database) -> None:
    """Read pages of 50 rows with two relationships, from small and large tables."""
    loaders = (selectinload(User.posts), selectinload(User.tags))
    await fill_users(small, 1_000)
    await fill_users(large, 1_000_000)
    chance = random.Random(1)

    def pages(database: Database, count: int) -> Work:
        async def work() -> None:
            for _ in range(50):
                after = (chance.randrange(1, count - 60),)
                async with database.read_session() as session:
                    await Repository[User](session).page(*loaders, after=after)

        return work

    name = "page of 50 with two relationships"
    many = pages(large, 1_000_000)
    await compare(
        f"{name}, of 1,000,000 rows",
        "ours, of 1,000 rows",
        many,
        pages(small, 1_000),
        0.9,
        2 * ROUNDS,
    )
    async with by_the_book(large) as engine:
        sessions = async_sessionmaker(engine, expire_on_commit=False)

        async def advanced() -> None:
            for _ in range(3):
                offset = chance.randrange(1, 1_000_000 - 60)
                async with sessions() as session:
                    await Users(session=session).list_and_count(
                        LimitOffset(50, offset),
                        load=[*loaders],
                        order_by=(User.id, True),
                    )

        async def few() -> None:
            for _ in range(3):
                after = (chance.randrange(1, 1_000_000 - 60),)
                async with large.read_session() as session:
                    await Repository[User](session).page(*loaders, after=after)

        other = "advanced-alchemy, offset and count"
        await compare(f"{name}, of 1,000,000 rows", other, few, advanced, None, 5)


async def compare_writers(database: Database) -> None:
    """Write and read concurrently, with one writer at a time."""

    async def write(times: int) -> None:
        for n in range(times):
            async with database.transaction() as session:
                session.add(Line(number=n, word="x"))

    async def eight() -> None:
        await asyncio.gather(*(write(50) for _ in range(8)))

    async def one() -> None:
        await write(400)

    await compare("400 writes by 8 tasks", "ours, by one task", eight, one, 0.8, ROUNDS)

    async def read() -> None:
        for n in range(READS):
            async with database.read_session() as session:
                await session.get(Line, n + 1)

    async def beside() -> None:
        async with database.transaction() as session:
            session.add(Line(number=0, word="x"))
            await session.flush()
            await read()

    name = "reading beside an open write"
    await compare(name, "ours, reading alone", beside, read, 1 / 1.1, 2 * ROUNDS)


async def compare_starts(database: Database) -> None:
    """Import the package and run a first query, each in a new process."""
    sqlalchemy_url = database.settings.sqlalchemy_url
    driver = "asyncpg" if POSTGRESQL else "aiosqlite"
    bare = f"""
import asyncio, pydantic_settings, sqlalchemy.orm, {driver}
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

async def main():
    engine = create_async_engine({sqlalchemy_url.render_as_string(hide_password=False)!r})
    async with AsyncSession(engine) as session:
        await session.execute(sqlalchemy.text("SELECT 1"))
    await engine.dispose()

asyncio.run(main())
"""
    url = sqlalchemy_url.set(drivername=DIALECT_NAME)
    url = url.render_as_string(hide_password=False)
    mine = f"""
import asyncio
from async_app.db import Database, Repository
from async_app.settings import Settings

async def main():
    async with Database(Settings(database_url={url!r})) as database:
        await database.ping()

asyncio.run(main())
"""

    def process(script: str) -> Work:
        async def work() -> None:
            command = [sys.executable, "-c", script]
            await asyncio.to_thread(subprocess.run, command, check=True)

        return work

    await compare(
        "import and first query",
        "SQLAlchemy, driver, pydantic-settings",
        process(mine),
        process(bare),
        1 / 1.15,
        ROUNDS,
    )


async def main(url: str) -> None:
    """Print the rows of one database."""
    small, large = (
        Database(
            Settings(
                _env_file=None, database_url=f"{url}_{name}", database_slow_query_ms=0
            )
        )
        for name in ("small", "large")
    )
    if POSTGRESQL:
        async with Database(Settings(_env_file=None, database_url=url)) as server:
            engine = server.engine.execution_options(isolation_level="AUTOCOMMIT")
            async with engine.connect() as connection:
                for each in (small, large):
                    name = each.settings.sqlalchemy_url.database
                    for what in ("DROP DATABASE IF EXISTS", "CREATE DATABASE"):
                        await connection.execute(sa.text(f"{what} {name}"))
    async with small, large:
        for database in (small, large):
            await upgrade(database)
        async with large.engine.begin() as connection:
            await connection.run_sync(Line.__table__.create)
        await compare_reads(large)
        await compare_inserts(large)
        if not POSTGRESQL:
            await compare_writers(large)
        await compare_pages(small, large)
        await compare_starts(large)


if __name__ == "__main__":
    asyncio.run(main(os.environ["DATABASE_URL"]))
