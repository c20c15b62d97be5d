"""Connection and cursor of aiosqlite that seldom wait for the driver's thread."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import aiosqlite
from aiosqlite.context import contextmanager

PREFETCH_ROWS = 100
"""Rows fetched together with a statement, unless they take longer than it may."""

QUICK_CPU_SECONDS = 0.001
"""Processor time of a quick statement with its first rows."""

QUICK_WALL_SECONDS = 0.1
"""Time of a quick statement with all waits: interpreter lock, disk, sleep."""

QUICK_VALUE_BYTES = 1_000_000
"""Longest value or row on the event loop: SQLite cannot stop in the middle of one."""

QUICK_RUNS = 3
"""Quick runs in a row after which a statement leaves the thread."""

QUICK_RUNS_AFTER_SLOW = 1_000
"""The same after a slow run, which may also have been a pause of the program."""

REMEMBERED_STATEMENTS = 1_000
"""Statements in the history; the one that was not used for longest is forgotten."""


class StatementHistory:
    """Statements that have proven quick, by their SQL text."""

    def __init__(self) -> None:
        """Know no statement yet."""
        self._runs: dict[str, int] = {}

    def is_quick(self, sql: str) -> bool:
        """Return whether the last runs of a query were all quick."""
        return sql.startswith("SELECT") and self._runs.get(sql, 0) >= QUICK_RUNS

    def record(self, sql: str, *, quick: bool) -> None:
        """Remember one run of a statement."""
        runs = self._runs.pop(sql, 0) + 1
        self._runs[sql] = runs if quick else QUICK_RUNS - QUICK_RUNS_AFTER_SLOW
        if len(self._runs) > REMEMBERED_STATEMENTS:
            del self._runs[next(iter(self._runs))]


def _start_stopwatch() -> Callable[[], bool]:
    """Return a function that returns whether a statement is quick until now."""
    cpu = time.thread_time() + QUICK_CPU_SECONDS
    wall = time.perf_counter() + QUICK_WALL_SECONDS
    return lambda: time.thread_time() < cpu and time.perf_counter() < wall


class Connection(aiosqlite.Connection):
    """Connection with a faster cursor, and a thread that never outlives it."""

    history: StatementHistory | None
    """Shared by the connections of an engine; None keeps everything in the thread."""

    def __init__(
        self, path: str, history: StatementHistory | None = None, **options: Any
    ) -> None:
        """Prepare a thread, as `aiosqlite.connect` does."""
        super().__init__(lambda: sqlite3.connect(path, **options), PREFETCH_ROWS)
        self.history = history
        self._is_bound_to_thread = options.get("check_same_thread", True)
        # A program can end while a connection is open.
        self._thread.daemon = True

    async def _connect(self) -> aiosqlite.Connection:
        try:
            return await super()._connect()
        except BaseException:
            # It would call an event loop that may be closed by then.
            self._thread.join()
            raise

    @contextmanager
    async def cursor(self) -> aiosqlite.Cursor:
        """Create a cursor without waiting for the thread, where SQLite permits it."""
        if self._is_bound_to_thread:
            return aiosqlite.Cursor(self, await self._execute(self._conn.cursor))  # type: ignore[no-untyped-call]
        cursor = Cursor(self, self._conn.cursor())
        cursor.history = self.history
        return cursor


class Cursor(aiosqlite.Cursor):
    """Cursor that waits for the driver's thread once, or not at all.

    SQLAlchemy creates a cursor, executes, reads all and closes it. Stock aiosqlite waits
    for its thread at each step, which takes longer than most queries. Here a statement
    and its first rows are one step. Once its history has proven a query quick, it runs on
    the event loop; if it exceeds its limits there, it starts over in the thread, and
    needs a long history to leave it again.
    """

    history: StatementHistory | None = None
    _prefetched: Sequence[Any] = ()
    _has_more = False
    _cancelled = False

    async def execute(self, sql: str, parameters: Any = None) -> Self:
        """Execute a statement and read its first rows."""
        self._prefetched, self._has_more = (), True
        quick = None
        if self.history and self.history.is_quick(sql):
            quick = await self._execute_inline(sql, parameters or ())
        if quick is None:
            quick = await self._execute(self._run, sql, parameters or ())
        if self.history:
            self.history.record(sql, quick=quick)
        return self

    async def fetchone(self) -> Any:
        """Return the next row, or None."""
        return next(iter(await self.fetchmany(1)), None)

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows."""
        size = size or self.arraysize
        rows, self._prefetched = [*self._prefetched[:size]], self._prefetched[size:]
        if self._has_more and len(rows) < size:
            rows += await super().fetchmany(size - len(rows))
        return rows

    async def fetchall(self) -> list[Any]:
        """Return all rows that remain."""
        return await self.fetchmany(2**31 - 1)

    async def close(self) -> None:
        """Close the cursor; one without more rows needs no call in the thread."""
        if self._has_more:
            await super().close()
        else:
            self._cursor.close()

    def _run(self, sql: str, parameters: Any) -> bool:
        """Execute a statement, read its first rows, and return whether it was quick."""
        if self._cancelled:
            return False
        is_quick = _start_stopwatch()
        self._cursor.execute(sql, parameters)
        rows: list[Any] = []
        while self._has_more and len(rows) < PREFETCH_ROWS and is_quick():
            # Each batch is as large as all before, so big rows are not read far ahead.
            size = min(len(rows) + 1, PREFETCH_ROWS - len(rows))
            batch = self._cursor.fetchmany(size)
            self._has_more = len(batch) == size
            rows += batch
        self._prefetched = rows
        return is_quick()

    async def _execute_inline(self, sql: str, parameters: Any) -> bool | None:
        """Do `_run` on the event loop, or return None if that exceeds the limits.

        An error also returns None: the thread repeats the statement, and raises it.
        """
        # Other tasks run in between, however many queries this one has.
        await asyncio.sleep(0)
        connection = self._cursor.connection
        is_quick = _start_stopwatch()
        connection.set_progress_handler(lambda: not is_quick(), 1000)
        limit = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, QUICK_VALUE_BYTES)
        try:
            return self._run(sql, parameters)
        except sqlite3.Error:
            return None
        finally:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limit)
            connection.set_progress_handler(None, 0)

    async def _execute(self, *work: Any) -> Any:
        try:
            return await super()._execute(*work)  # type: ignore[no-untyped-call]
        except asyncio.CancelledError:
            # Otherwise a timeout would wait for the statement that it is to end, or
            # for one that has not started, which SQLite cannot interrupt.
            self._cancelled = True
            self._cursor.connection.interrupt()
            raise
