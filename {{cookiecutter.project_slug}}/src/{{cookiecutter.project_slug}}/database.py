"""The way to the database: one place to open a transaction, one to read."""

import asyncio
import logging
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cached_property, lru_cache
from typing import Any, TypeVar

from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from . import dialect
from .settings import Settings

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

ATTEMPTS = 30
"""How often `Database.run` tries in all; enough to outlast a restart of the server."""

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
"""Seconds; the longest pause before an attempt doubles from the first to the latter."""

_READS = re.compile(r"[\s(]*(select|with|values|table|show|explain|pragma)\b", re.I)
_WRITES = re.compile(
    r"(?i)\b(insert\s+into|update\s+\S+\s+set|delete\s+from|merge\s+into"
    r"|for\s+(no\s+key\s+)?update)\b"
)


class CommitOutcomeUnknown(Exception):
    """The connection was lost during COMMIT: it may have happened or not.

    Look whether the changes are there before you repeat them.
    """


class PoolExhausted(Exception):
    """No connection became free in time."""


class Database(AbstractAsyncContextManager["Database"]):
    """The database of the application; it does nothing until it is used.

    `async with Database(settings) as database:` closes it in the end.
    """

    def __init__(self, settings: Settings) -> None:
        """Remember the settings; the first use creates the engines."""
        self.settings = settings

    @cached_property
    def engine(self) -> AsyncEngine:
        """The engine that transactions run on."""
        engine = dialect.create_engine(self.settings)
        _log_slow_statements(engine, self.settings.database_slow_query_ms)
        return engine

    @cached_property
    def read_engine(self) -> AsyncEngine:
        """The engine that readers run on; it may share the pool of `engine`."""
        engine = dialect.create_read_engine(self.settings, self.engine)
        if engine.pool is not self.engine.pool:
            _log_slow_statements(engine, self.settings.database_slow_query_ms)
        event.listen(engine.sync_engine, "before_cursor_execute", _refuse_writes)
        return engine

    @cached_property
    def _turns(self) -> tuple[asyncio.Semaphore, asyncio.Semaphore]:
        """The turns to take: of transactions, and of readers.

        There are as many as connections, so that who comes first is served first, and
        nobody waits in the pool.
        """
        settings = self.settings
        most = settings.database_pool_size + settings.database_max_overflow
        writers = asyncio.Semaphore(dialect.WRITERS or most)
        shared = self.read_engine.pool is self.engine.pool
        return writers, writers if shared else asyncio.Semaphore(most)

    @asynccontextmanager
    async def transaction(
        self, *, isolation: str | None = None
    ) -> AsyncIterator[AsyncSession]:
        """Open a session in one transaction: the only way to write.

        It commits when the block ends and rolls back when the block raises.

        Args:
            isolation: A level for this transaction, such as "SERIALIZABLE"; the
                database's default if not given.

        Raises:
            CommitOutcomeUnknown: The connection was lost during COMMIT.
            PoolExhausted: No connection became free in time.
        """
        async with self._session(self.engine, self._turns[0]) as session:
            if isolation is not None:
                options = {"isolation_level": isolation}
                await session.connection(execution_options=options)
            yield session
            # So that a statement that fails here is not taken for the COMMIT.
            await session.flush()
            try:
                await session.commit()
            except Exception as error:
                lost = isinstance(error, DBAPIError) and error.connection_invalidated
                if lost or isinstance(error, OSError):
                    raise CommitOutcomeUnknown(
                        "the connection was lost during COMMIT:"
                        " look whether the changes are there before repeating them"
                    ) from error
                raise

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[AsyncSession]:
        """Open a session for reading: no transaction, each statement for itself.

        Raises:
            PoolExhausted: No connection became free in time.
            InvalidRequestError: Something was to be written.
        """
        async with self._session(self.read_engine, self._turns[1]) as session:
            yield session
            if session.new or session.dirty or session.deleted:
                # It is refused like any statement that writes, and so not forgotten.
                await session.flush()

    async def run(
        self,
        work: Callable[[AsyncSession], Awaitable[Result]],
        *,
        isolation: str | None = None,
    ) -> Result:
        """Call `work(session)` in a transaction, again where that can help.

        It is repeated, after a random pause, when the database was busy or away, or
        when transactions stood in each other's way; never after a COMMIT that may
        have happened. So `work` must be safe to repeat: let it change the database
        and nothing else.

        Args:
            work: What to do in the transaction.
            isolation: See `transaction`.

        Returns:
            What `work` returned.
        """
        for attempt in range(ATTEMPTS):
            try:
                async with self.transaction(isolation=isolation) as session:
                    return await work(session)
            except Exception as error:
                if attempt + 1 == ATTEMPTS or not dialect.is_retryable(error):
                    raise
            # At random, because those who collided would collide again in step.
            pause = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE)
            await asyncio.sleep(random.uniform(0, pause))
        raise AssertionError("the last attempt returns or raises")

    async def ping(self) -> None:
        """Ask the database for one value; what it raises says why it is away."""
        async with self.reader() as session:
            await session.execute(text("SELECT 1"))

    def pool_status(self) -> dict[str, int]:
        """Return how many connections are in use, and how many are open and idle."""
        pools: set[Any] = {self.engine.pool, self.read_engine.pool}
        return {
            "in_use": sum(pool.checkedout() for pool in pools),
            "idle": sum(pool.checkedin() for pool in pools),
        }

    async def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        vars(self).pop("_turns", None)
        for name in ("read_engine", "engine"):
            if engine := vars(self).pop(name, None):
                await engine.dispose()

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self.close()

    @asynccontextmanager
    async def _session(
        self, engine: AsyncEngine, turns: asyncio.Semaphore
    ) -> AsyncIterator[AsyncSession]:
        patience = self.settings.database_pool_timeout
        try:
            async with asyncio.timeout(patience):
                await turns.acquire()
        except TimeoutError:
            raise PoolExhausted(
                f"no connection became free within DATABASE_POOL_TIMEOUT ({patience:g}"
                " s): hold transactions for a shorter time, open none inside another,"
                " or raise DATABASE_POOL_SIZE"
            ) from None
        try:
            async with AsyncSession(engine, expire_on_commit=False) as session:
                yield session
        finally:
            turns.release()


@lru_cache(maxsize=1000)
def _is_write(statement: str) -> bool:
    return not _READS.match(statement) or bool(_WRITES.search(statement))


def _refuse_writes(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    if _is_write(statement):
        raise InvalidRequestError(
            f"a reader does not write: run {statement.split()[0]!r}"
            " in Database.transaction()"
        )


def _log_slow_statements(engine: AsyncEngine, limit: float) -> None:
    """Log what takes longer than `limit` milliseconds, if not 0; never parameters."""

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def start(connection: Any, *_: Any) -> None:
        connection.info["started"] = time.perf_counter()

    @event.listens_for(engine.sync_engine, "after_cursor_execute")
    def finish(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        took = (time.perf_counter() - connection.info["started"]) * 1000
        if took > limit > 0:
            logger.warning("slow statement, %.0f ms: %s", took, statement)
