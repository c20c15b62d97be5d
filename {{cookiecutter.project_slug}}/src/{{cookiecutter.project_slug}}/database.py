"""The way to the database: one place to open a transaction, one to read."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import event, text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from . import dialect
from .settings import Settings

Result = TypeVar("Result")

ATTEMPTS = 10
"""How often `Database.run` tries in all."""

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
"""Seconds; the longest pause before an attempt doubles from the first to the latter."""

_READS = re.compile(r"[\s(]*(select|with|values|table|show|explain|pragma)\b", re.I)
_WRITES = re.compile(
    r"\b(insert\s+into|update\s+\S+\s+set|delete\s+from|merge\s+into"
    r"|for\s+(no\s+key\s+)?update)\b",
    re.I,
)


class CommitOutcomeUnknown(Exception):
    """The connection was lost during COMMIT: it may have happened or not.

    Look whether the changes are there before you repeat them.
    """


class PoolExhausted(Exception):
    """No connection became free in time."""


class Database:
    """The database of the application; it does nothing until it is used.

    `async with Database(settings) as database:` closes it in the end.
    """

    def __init__(self, settings: Settings) -> None:
        """Remember the settings; the first use creates the engines."""
        self.settings = settings

    @cached_property
    def engine(self) -> AsyncEngine:
        """The engine that transactions run on."""
        return dialect.create_engine(self.settings)

    @cached_property
    def read_engine(self) -> AsyncEngine:
        """The engine that readers run on."""
        engine = dialect.create_read_engine(self.settings, self.engine)
        event.listen(engine.sync_engine, "before_cursor_execute", _refuse_writes)
        return engine

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
        async with AsyncSession(self.engine, expire_on_commit=False) as session:
            with self._naming_the_limit():
                if isolation is not None:
                    options = {"isolation_level": isolation}
                    await session.connection(execution_options=options)
                yield session
                # So that a statement that fails here is not taken for the COMMIT.
                await session.flush()
            try:
                await session.commit()
            except Exception as error:
                if dialect.is_connection_lost(error):
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
            InvalidRequestError: Something was written, or changed and not written.
        """
        async with AsyncSession(
            self.read_engine,
            sync_session_class=_ReadOnlySession,
            autoflush=False,
            expire_on_commit=False,
        ) as session:
            with self._naming_the_limit():
                yield session
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

    async def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        for name in ("read_engine", "engine"):
            engine = self.__dict__.pop(name, None)
            if engine is not None:
                await engine.dispose()

    async def __aenter__(self) -> Self:
        """Return the database; nothing is opened yet."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections."""
        await self.close()

    @contextmanager
    def _naming_the_limit(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeoutError as error:
            raise PoolExhausted(
                "no connection became free within DATABASE_POOL_TIMEOUT"
                f" ({self.settings.database_pool_timeout:g} s):"
                " hold transactions for a shorter time or raise DATABASE_POOL_SIZE"
            ) from error


class _ReadOnlySession(Session):
    """A session that has nothing to write and says so."""

    def flush(self, objects: Sequence[Any] | None = None) -> None:
        if self.new or self.dirty or self.deleted:
            raise InvalidRequestError(
                "a reader does not write: make this change in Database.transaction()"
            )


def _refuse_writes(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    if not _READS.match(statement) or _WRITES.search(statement):
        raise InvalidRequestError(
            f"a reader does not write: run {statement.split()[0]!r}"
            " in Database.transaction()"
        )
