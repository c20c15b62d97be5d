"""Database: one way to open a transaction, one way to read."""

import asyncio
import logging
import os
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import cached_property
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import event, text
from sqlalchemy.exc import (
    DBAPIError,
    IllegalStateChangeError,
    InvalidRequestError,
    PendingRollbackError,
)
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from .engine import MAX_WRITERS, create_engine, create_read_engine
from .errors import describe_error, is_retryable
from .exceptions import CommitOutcomeUnknownError, PoolTimeoutError
from .settings import DatabaseSettings

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

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
        self._owner: tuple[int, asyncio.AbstractEventLoop] | None = None

    @cached_property
    def engine(self) -> AsyncEngine:
        """Engine of transactions."""
        engine = create_engine(self.settings)
        _refuse_after_failure(engine)
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

        It commits when the block ends and rolls back when the block raises. Once COMMIT
        is sent, a cancellation waits for its answer: if the changes are stored, the block
        ends normally, and the task is cancelled where it waits next.

        Args:
            isolation: Isolation level of this transaction, such as "SERIALIZABLE";
                the database's default if not given.

        Raises:
            CommitOutcomeUnknownError: The connection was lost during COMMIT.
            PendingRollbackError: A statement failed, and no savepoint reverted it.
            PoolTimeoutError: No connection became free in time.
        """
        async with self._session(0) as session:
            if isolation is not None:
                options = {"isolation_level": isolation}
                await session.connection(execution_options=options)
            yield session
            try:
                # Flush first, so a statement that fails is not mistaken for the COMMIT.
                await session.flush()
                await _finish(_commit(session))
            except PendingRollbackError as error:
                raise _pending_rollback(error) from error

    @asynccontextmanager
    async def read_session(self) -> AsyncGenerator[AsyncSession]:
        """Open a session for reading: no transaction, each statement for itself.

        Raises:
            PoolTimeoutError: No connection became free in time.
            InvalidRequestError: The block tried to write.
        """
        async with self._session(1) as session:
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
        between transactions or a busy database, for DATABASE_RETRY_SECONDS, but never
        after a COMMIT that may have happened. `work` must be safe to repeat: let it
        change the database only.

        Args:
            work: Coroutine function that takes the session.
            isolation: See `transaction`.

        Returns:
            The result of `work`.
        """
        started = time.monotonic()
        longest = INITIAL_BACKOFF_SECONDS
        attempt = 0
        while True:
            attempt += 1
            # Jitter: transactions that collided would collide again in step.
            backoff = random.uniform(0, longest)
            try:
                async with self.transaction(isolation=isolation) as session:
                    return await work(session)
            except Exception as error:
                elapsed = time.monotonic() - started
                limit = self.settings.database_retry_seconds
                if elapsed + backoff > limit or not is_retryable(error):
                    raise
                reason = describe_error(error)
            logger.info(
                "retrying after: %s (attempt %d, %.1f s)", reason, attempt, elapsed
            )
            await asyncio.sleep(backoff)
            longest = min(longest * 2, MAX_BACKOFF_SECONDS)

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
        self._forget_owner()
        for name in ("read_engine", "engine"):
            if engine := vars(self).pop(name, None):
                await engine.dispose()

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self.close()

    @asynccontextmanager
    async def _session(self, kind: int) -> AsyncGenerator[AsyncSession]:
        self._check_owner()
        engine = (self.engine, self.read_engine)[kind]
        slots = self._semaphores[kind]
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
        session = AsyncSession(
            engine,
            autoflush=self.settings.database_autoflush,
            expire_on_commit=self.settings.database_expire_on_commit,
            # A session that is used after its block raises.
            close_resets_only=False,
        )
        try:
            yield session
        finally:
            try:
                if session.in_transaction():
                    await _finish(_close(session))
                else:  # Nothing waits for the database.
                    session.sync_session.close()
            finally:
                slots.release()

    def _check_owner(self) -> None:
        """Open new connections in a forked process; refuse a second event loop."""
        owner = os.getpid(), asyncio.get_running_loop()
        if self._owner is not None and self._owner != owner:
            if self._owner[0] == owner[0]:
                raise InvalidRequestError(
                    "this Database is open in another event loop: close it there,"
                    " or create one in each loop"
                )
            for engine in (self.engine, self.read_engine):
                engine.sync_engine.dispose(close=False)
            self._forget_owner()
        self._owner = owner

    def _forget_owner(self) -> None:
        self._owner = None
        vars(self).pop("_semaphores", None)


async def _commit(session: AsyncSession) -> None:
    try:
        await session.commit()
    except (Exception, asyncio.CancelledError) as error:
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        if lost or isinstance(error, OSError | asyncio.CancelledError):
            raise CommitOutcomeUnknownError(
                "the connection was lost during COMMIT: check whether the"
                " changes are stored before you repeat them"
            ) from error
        raise


async def _close(session: AsyncSession) -> None:
    """Return the connection, even if a task that outlives the block still uses it."""
    while True:
        try:
            return await session.close()
        except IllegalStateChangeError:
            await asyncio.sleep(0.01)


async def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Await `work` to its end, and pass on a cancellation that came meanwhile.

    If `work` succeeded, the task is cancelled where it waits next; a timeout that ends
    before that has had its cancellation, and raises nothing.
    """
    task: Any = asyncio.current_task()
    requests = task.cancelling()
    finishing = asyncio.create_task(work)
    while not finishing.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([finishing])
    error = finishing.exception()
    if task.cancelling() > requests:
        if error and not isinstance(error, CommitOutcomeUnknownError):
            raise asyncio.CancelledError from error
        asyncio.get_running_loop().call_soon(_cancel_again, task, requests)
    if error:
        raise error


def _cancel_again(task: asyncio.Task[Any], requests: int) -> None:
    if task.cancelling() > requests:
        task.uncancel()
        task.cancel()


def _refuse_after_failure(engine: AsyncEngine) -> None:
    """Let a transaction store nothing after a statement failed, unless it is reverted.

    Databases differ: some go on, some answer COMMIT with a rollback, and some revert
    everything at once, and store what follows.
    """
    failures: WeakKeyDictionary[Any, str] = WeakKeyDictionary()

    def check(transaction: Any) -> None:
        if transaction and (failure := failures.get(transaction)):
            raise _pending_rollback(failure)

    @event.listens_for(engine.sync_engine, "handle_error")
    def remember(context: Any) -> None:
        connection = context.connection
        if connection is None or connection.engine is not engine.sync_engine:
            return
        error = context.sqlalchemy_exception or context.original_exception
        failed = [connection.get_nested_transaction() or connection.get_transaction()]
        if not connection.invalidated:
            driver = connection.connection.driver_connection
            if not getattr(driver, "in_transaction", True):
                failed.append(connection.get_transaction())
        for transaction in filter(None, failed):
            failures.setdefault(transaction, str(error))

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def refuse(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if failures:
            check(connection.get_transaction())
            if not statement.startswith("ROLLBACK TO"):
                check(connection.get_nested_transaction())

    @event.listens_for(engine.sync_engine, "commit")
    def refuse_commit(connection: Any) -> None:
        check(connection.get_transaction())


def _pending_rollback(failure: object) -> PendingRollbackError:
    reason = str(failure).rpartition("Original exception was: ")[2].partition("\n")[0]
    return PendingRollbackError(
        "this transaction stores nothing, because a statement failed: run one that may"
        " fail in `async with session.begin_nested()`."
        f" Original exception was: {reason}"
    )


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
