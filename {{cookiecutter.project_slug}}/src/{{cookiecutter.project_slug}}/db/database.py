"""Database: one way to open a transaction, one way to read."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cached_property
from typing import Any, TypeVar

from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from .engine import MAX_WRITERS, create_engine, create_read_engine
from .errors import is_retryable
from .exceptions import CommitOutcomeUnknownError, PoolTimeoutError
from .settings import DatabaseSettings

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

MAX_ATTEMPTS = 30
"""Attempts of `run_in_transaction`, enough to outlast a restart of the server."""

INITIAL_BACKOFF_SECONDS = 0.02
MAX_BACKOFF_SECONDS = 1.0
"""Longest pause before the first retry, and before any; it doubles in between."""


class Database(AbstractAsyncContextManager["Database"]):
    """Engines and sessions of one database; the first use opens a connection.

    `async with Database(settings) as database:` closes it at the end.
    """

    def __init__(self, settings: DatabaseSettings) -> None:
        """Store the settings; nothing connects yet."""
        self.settings = settings

    @cached_property
    def engine(self) -> AsyncEngine:
        """Engine of transactions."""
        engine = create_engine(self.settings)
        _log_slow_statements(engine, self.settings.database_slow_query_ms)
        return engine

    @cached_property
    def read_engine(self) -> AsyncEngine:
        """Engine of read sessions; it may share the pool of `engine`."""
        engine = create_read_engine(self.settings, self.engine)
        if engine.pool is not self.engine.pool:
            _log_slow_statements(engine, self.settings.database_slow_query_ms)
        return engine

    @cached_property
    def _semaphores(self) -> tuple[asyncio.Semaphore, asyncio.Semaphore]:
        """Semaphores of writers and readers, with one slot per connection.

        Tasks wait here, first come, first served, and never inside the pool.
        """
        settings = self.settings
        connections = settings.database_pool_size + settings.database_max_overflow
        writers = asyncio.Semaphore(MAX_WRITERS or connections)
        shared = self.read_engine.pool is self.engine.pool
        return writers, writers if shared else asyncio.Semaphore(connections)

    @asynccontextmanager
    async def transaction(
        self, *, isolation: str | None = None
    ) -> AsyncGenerator[AsyncSession]:
        """Open a session in one transaction: the only way to write.

        It commits when the block ends and rolls back when the block raises.

        Args:
            isolation: Isolation level of this transaction, such as "SERIALIZABLE";
                the database's default if not given.

        Raises:
            CommitOutcomeUnknownError: The connection was lost during COMMIT.
            PoolTimeoutError: No connection became free in time.
        """
        async with self._session(self.engine, self._semaphores[0]) as session:
            if isolation is not None:
                options = {"isolation_level": isolation}
                await session.connection(execution_options=options)
            yield session
            # Flush first, so a statement that fails is not mistaken for the COMMIT.
            await session.flush()
            try:
                await session.commit()
            except Exception as error:
                lost = isinstance(error, DBAPIError) and error.connection_invalidated
                if lost or isinstance(error, OSError):
                    raise CommitOutcomeUnknownError(
                        "the connection was lost during COMMIT: check whether the"
                        " changes are stored before you repeat them"
                    ) from error
                raise

    @asynccontextmanager
    async def read_session(self) -> AsyncGenerator[AsyncSession]:
        """Open a session for reading: no transaction, each statement for itself.

        Raises:
            PoolTimeoutError: No connection became free in time.
            InvalidRequestError: The block tried to write.
        """
        async with self._session(self.read_engine, self._semaphores[1]) as session:
            yield session
            if session.new or session.dirty or session.deleted:
                # Refuse changes that would otherwise be lost.
                await session.flush()

    async def run_in_transaction(
        self,
        work: Callable[[AsyncSession], Awaitable[Result]],
        *,
        isolation: str | None = None,
    ) -> Result:
        """Run `work` in a transaction, and again if the database asks for it.

        It is retried with backoff and jitter after a lost connection, a conflict
        between transactions or a busy database, but never after a COMMIT that may have
        happened. `work` must be safe to repeat: let it change the database only.

        Args:
            work: Coroutine function that takes the session.
            isolation: See `transaction`.

        Returns:
            The result of `work`.
        """
        for attempt in range(MAX_ATTEMPTS):
            try:
                async with self.transaction(isolation=isolation) as session:
                    return await work(session)
            except Exception as error:
                if attempt + 1 == MAX_ATTEMPTS or not is_retryable(error):
                    raise
            backoff = min(INITIAL_BACKOFF_SECONDS * 2**attempt, MAX_BACKOFF_SECONDS)
            # Jitter: transactions that collided would collide again in step.
            await asyncio.sleep(random.uniform(0, backoff))
        raise AssertionError("the last attempt returns or raises")

    async def ping(self) -> None:
        """Ask the database for one value; raise its error if it does not answer."""
        async with self.read_session() as session:
            await session.execute(text("SELECT 1"))

    def pool_status(self) -> dict[str, int]:
        """Return the number of connections in use, and of those open and idle."""
        pools: set[Any] = {self.engine.pool, self.read_engine.pool}
        return {
            "in_use": sum(pool.checkedout() for pool in pools),
            "idle": sum(pool.checkedin() for pool in pools),
        }

    async def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        vars(self).pop("_semaphores", None)
        for name in ("read_engine", "engine"):
            if engine := vars(self).pop(name, None):
                await engine.dispose()

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self.close()

    @asynccontextmanager
    async def _session(
        self, engine: AsyncEngine, slots: asyncio.Semaphore
    ) -> AsyncGenerator[AsyncSession]:
        timeout = self.settings.database_pool_timeout
        try:
            async with asyncio.timeout(timeout):
                await slots.acquire()
        except TimeoutError:
            raise PoolTimeoutError(
                f"no connection became free within DATABASE_POOL_TIMEOUT ({timeout:g}"
                " s): keep transactions short, open none inside another, or raise"
                " DATABASE_POOL_SIZE"
            ) from None
        try:
            async with AsyncSession(
                engine,
                autoflush=self.settings.database_autoflush,
                expire_on_commit=self.settings.database_expire_on_commit,
            ) as session:
                yield session
        finally:
            slots.release()


def _log_slow_statements(engine: AsyncEngine, limit_ms: float) -> None:
    """Log statements that take longer than `limit_ms`, unless it is 0; no parameters."""

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def start(connection: Any, *_: Any) -> None:
        connection.info["started"] = time.perf_counter()

    @event.listens_for(engine.sync_engine, "after_cursor_execute")
    def finish(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        elapsed_ms = (time.perf_counter() - connection.info["started"]) * 1000
        if elapsed_ms > limit_ms > 0:
            logger.warning("slow statement, %.0f ms: %s", elapsed_ms, statement)
