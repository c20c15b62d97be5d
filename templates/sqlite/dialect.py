"""Everything that this project knows about its database: SQLite."""

import asyncio
import enum
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self

import aiosqlite
import sqlalchemy as sa
from aiosqlite.context import contextmanager
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings
from sqlalchemy import event
from sqlalchemy.dialects.sqlite import insert as insert
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

NAME = "sqlite"

WRITERS = 1
"""How many may write at a time: those who wait in this process cost nothing."""

ID = (sa.Integer(),)
"""What an `id` column is made of: only INTEGER becomes SQLite's own row id."""

ENUM = sa.Enum(
    enum.Enum,
    native_enum=False,
    length=64,
    validate_strings=True,
    values_callable=lambda kind: [member.value for member in kind],
)
"""How a Python enum is stored: VARCHAR, with a named CHECK from `finish_table`."""

NOW = sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
"""The database's clock, in milliseconds: CURRENT_TIMESTAMP has only seconds."""

ERRORS = (DBAPIError, OSError)
"""What the database may raise, and the way to it."""

AHEAD = 100
"""How many rows come along with a statement."""

BRIEF = 0.001
"""Seconds; a query that takes less is answered without waiting for a thread."""


class DialectSettings(BaseSettings):
    """The settings of a project on SQLite; times are in seconds."""

    # Where relative paths count from; `Settings` sets it.
    root: Path = Field(default_factory=Path.cwd, repr=False)

    database_url: str = "sqlite:///data/app.db"
    database_echo: bool = False
    database_pool_size: int = Field(default=10, ge=1)
    database_max_overflow: int = Field(default=0, ge=0)
    database_pool_timeout: float = Field(default=30, ge=0)
    database_slow_query_ms: float = Field(default=500, ge=0)
    database_busy_timeout: float = Field(default=30, ge=0)
    database_backup: bool = True

    @field_validator("database_url")
    @classmethod
    def _names_a_file(cls, value: str) -> str:
        if not re.match(rf"{NAME}(\+\w+)?://(/|$)", value):
            raise ValueError("expected sqlite:///relative/path or sqlite:////full/path")
        if sa.make_url(value).database in (None, "", ":memory:"):
            raise ValueError("expected a file: each connection has its own :memory:")
        return value

    @property
    def address(self) -> sa.URL:
        """The address that the driver takes."""
        given = sa.make_url(self.database_url)
        path = self.root / str(given.database)
        return given.set(drivername="sqlite+aiosqlite", database=str(path))


def create_engine(
    settings: DialectSettings, *, read_only: bool = False, foreign_keys: bool = True
) -> AsyncEngine:
    """Create the engine for writing, or the one for reading; nothing connects yet.

    SQLite has one writer at a time, and `Database` lets no second one try. Each
    transaction takes the write lock at BEGIN, because one that reads first and locks
    later loses updates or dies of "database is locked".

    Args:
        settings: Where the file is, how long to wait, how many readers.
        read_only: Refuse statements that write, and begin no transaction.
        foreign_keys: Enforce them. Migrations must not: re-creating a table would
            silently delete the rows that refer to it.
    """
    address = settings.address
    Path(str(address.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(
        address,
        echo=settings.database_echo,
        pool_size=settings.database_pool_size if read_only else 1,
        max_overflow=settings.database_max_overflow,
        pool_timeout=settings.database_pool_timeout,
        # The driver's own transactions would begin too late.
        connect_args={"async_creator_fn": _Connection, "isolation_level": None},
    )
    pragmas = (
        f"PRAGMA busy_timeout = {int(settings.database_busy_timeout * 1000)};"
        "PRAGMA journal_mode = WAL;"
        # In WAL mode this survives a crash of the program: sqlite.org/pragma.html
        "PRAGMA synchronous = NORMAL;"
        f"PRAGMA foreign_keys = {foreign_keys:d}; PRAGMA query_only = {read_only:d};"
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.run_async(lambda driver: driver.executescript(pragmas))

    if read_only:
        # There is none to roll back, and each would wait for the driver's thread.
        vars(engine.dialect).update(do_rollback=lambda connection: None)
    else:

        @event.listens_for(engine.sync_engine, "begin")
        def begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        @event.listens_for(engine.sync_engine, "invalidate")
        def roll_back(connection: Any, _record: Any, _error: Any) -> None:
            # Closing alone keeps the write lock for as long as a cursor with unread
            # rows is alive, and that of a cancelled statement is, in its traceback.
            connection.rollback()

    return engine


class _Connection(aiosqlite.Connection):
    """A connection with a cursor of our own, and a thread that never outlives it."""

    def __init__(self, path: str, **options: Any) -> None:
        """Prepare a thread, as `aiosqlite.connect` does."""
        super().__init__(lambda: sqlite3.connect(path, **options), AHEAD)
        # So that a program can end while a connection is open.
        self._thread.daemon = True

    async def _connect(self) -> aiosqlite.Connection:
        try:
            return await super()._connect()
        except BaseException:
            # It would speak to an event loop that may be gone by then.
            self._thread.join()
            raise

    @contextmanager
    async def cursor(self) -> aiosqlite.Cursor:
        """Make a cursor, outside the thread that it works in."""
        return _Cursor(self, self._conn.cursor())


class _Cursor(aiosqlite.Cursor):
    """A cursor that mostly waits once for the driver's thread, or not at all.

    SQLAlchemy makes a cursor, executes, reads all and closes: each would wait, and
    the threads of a busy program wait for each other at every row. Most queries take
    less than that.
    """

    _ahead: Sequence[Any] = ()
    _has_more = False
    _cancelled = False

    async def execute(self, sql: str, parameters: Any = None) -> Self:
        """Execute a statement and read its first rows."""

        def execute() -> list[Any]:
            if self._cancelled:
                return []
            self._cursor.execute(sql, parameters or ())
            return self._cursor.fetchmany(AHEAD)

        self._has_more = True
        ahead = await self._briefly(execute) if sql.startswith("SELECT") else None
        self._ahead = await self._execute(execute) if ahead is None else ahead
        self._has_more = len(self._ahead) == AHEAD
        return self

    async def fetchone(self) -> Any:
        """Return the next row, or None."""
        return next(iter(await self.fetchmany(1)), None)

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows."""
        size = size or self.arraysize
        rows, self._ahead = [*self._ahead[:size]], self._ahead[size:]
        if self._has_more and len(rows) < size:
            rows += await super().fetchmany(size - len(rows))
        return rows

    async def fetchall(self) -> list[Any]:
        """Return all rows that remain."""
        return await self.fetchmany(2**31 - 1)

    async def close(self) -> None:
        """Let go of the statement; one that has no more rows holds nothing."""
        if self._has_more:
            await super().close()

    async def _briefly(self, work: Callable[[], list[Any]]) -> list[Any] | None:
        """Do here and now what takes less than `BRIEF`; return None if it takes more.

        What fails does so too: it is done again in the thread, and fails there.
        """
        # Other tasks have their turn, however many queries this one has.
        await asyncio.sleep(0)
        deadline = time.perf_counter() + BRIEF
        limit = self._cursor.connection.set_progress_handler
        limit(lambda: time.perf_counter() > deadline, 1000)
        try:
            return work()
        except sqlite3.OperationalError:
            return None
        finally:
            limit(None, 0)

    async def _execute(self, *work: Any) -> Any:
        try:
            return await super()._execute(*work)  # type: ignore[no-untyped-call]
        except asyncio.CancelledError:
            # Otherwise a timeout would wait for the statement that it is to end, or
            # for one that has not begun, which SQLite cannot interrupt.
            self._cancelled = True
            self._cursor.connection.interrupt()
            raise


def create_read_engine(settings: DialectSettings, _engine: AsyncEngine) -> AsyncEngine:
    """Create the engine of readers, who in WAL mode never wait for a writer."""
    return create_engine(settings, read_only=True)


def create_migration_engine(settings: DialectSettings) -> AsyncEngine:
    """Create the engine that migrations run on."""
    return create_engine(settings, foreign_keys=False)


def finish_table(table: sa.Table) -> None:
    """Give every enum column of a table its CHECK, named after the column."""
    for column in table.columns:
        if isinstance(column.type, sa.Enum):
            quoted = ["'" + v.replace("'", "''") + "'" for v in column.type.enums]
            check = f"{column.name} IN ({', '.join(quoted)})"
            table.append_constraint(sa.CheckConstraint(check, name=column.name))


def is_retryable(error: BaseException) -> bool:
    """Tell whether running the same transaction again can succeed: SQLite was busy."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def constraint_name(error: IntegrityError, metadata: sa.MetaData) -> str | None:
    """Return the name of the violated constraint, where the error tells it.

    SQLite names a CHECK, and for UNIQUE and PRIMARY KEY only the columns; for a
    foreign key it tells nothing: https://www.sqlite.org/rescode.html
    """
    message = str(error.orig)
    if check := re.search(r"CHECK constraint failed: (\w+)", message):
        return check[1]
    if columns := re.search(r"UNIQUE constraint failed: (.+)", message):
        failed = columns[1].split(", ")
        table = metadata.tables[failed[0].rpartition(".")[0]]
        unique = (index for index in table.indexes if index.unique)
        for constraint in (*table.constraints, *unique):
            named = (sa.UniqueConstraint, sa.PrimaryKeyConstraint, sa.Index)
            if isinstance(constraint, named):
                if failed == [str(column) for column in constraint.columns]:
                    return str(constraint.name)
    return None


async def insert_many(
    session: AsyncSession,
    table: sa.Table,
    names: Sequence[str],
    rows: Iterator[Sequence[Any]],
) -> int:
    """Insert rows with the driver's own executemany and return how many there were.

    Args:
        session: The session whose transaction the rows join.
        table: The table.
        names: The columns, in the order of each row's values.
        rows: Values as the driver takes them; read in slices, so memory stays flat.
    """
    connection = await session.connection()
    quote = connection.dialect.identifier_preparer
    columns = ", ".join(quote.quote(name) for name in names)
    marks = ", ".join("?" * len(names))
    statement = f"INSERT INTO {quote.format_table(table)} ({columns}) VALUES ({marks})"
    total = 0
    while chunk := list(islice(rows, 10_000)):
        await connection.exec_driver_sql(statement, chunk)
        total += len(chunk)
    return total
