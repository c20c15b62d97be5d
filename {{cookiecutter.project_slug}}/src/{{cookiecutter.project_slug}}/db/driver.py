"""Connection and cursor of aiosqlite that rarely wait for the driver's thread."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import aiosqlite
from aiosqlite.context import contextmanager

PREFETCH_ROWS = 100
"""Rows fetched together with a statement."""

INLINE_BUDGET_SECONDS = 0.001
"""Time that a query may take on the event loop."""


class Connection(aiosqlite.Connection):
    """Connection with a faster cursor, and a thread that never outlives it."""

    def __init__(self, path: str, **options: Any) -> None:
        """Prepare a thread, as `aiosqlite.connect` does."""
        super().__init__(lambda: sqlite3.connect(path, **options), PREFETCH_ROWS)
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
        """Create a cursor without waiting for the thread."""
        return Cursor(self, self._conn.cursor())


class Cursor(aiosqlite.Cursor):
    """Cursor that mostly waits once for the driver's thread, or not at all.

    SQLAlchemy creates a cursor, executes, reads all and closes it. Stock aiosqlite waits
    for its thread at each step, which takes longer than most queries.
    """

    _prefetched: Sequence[Any] = ()
    _has_more = False
    _cancelled = False

    async def execute(self, sql: str, parameters: Any = None) -> Self:
        """Execute a statement and read its first rows."""

        def execute() -> list[Any]:
            if self._cancelled:
                return []
            self._cursor.execute(sql, parameters or ())
            return self._cursor.fetchmany(PREFETCH_ROWS)

        self._has_more = True
        prefetched = (
            await self._try_inline(execute) if sql.startswith("SELECT") else None
        )
        self._prefetched = (
            await self._execute(execute) if prefetched is None else prefetched
        )
        self._has_more = len(self._prefetched) == PREFETCH_ROWS
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

    async def _try_inline(self, work: Callable[[], list[Any]]) -> list[Any] | None:
        """Run `work` on the event loop, or return None if it exceeds its budget.

        An error also returns None: the thread repeats the work, and raises it.
        """
        # Other tasks run in between, however many queries this one has.
        await asyncio.sleep(0)
        deadline = time.perf_counter() + INLINE_BUDGET_SECONDS
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
            # for one that has not started, which SQLite cannot interrupt.
            self._cancelled = True
            self._cursor.connection.interrupt()
            raise
