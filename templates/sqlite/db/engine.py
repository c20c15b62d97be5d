"""Engines of SQLite: one connection that writes, a pool that reads."""

import logging
import os
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from .driver import Connection, StatementHistory
from .settings import DatabaseSettings

logger = logging.getLogger(__name__)

DIALECT_NAME = "sqlite"

MAX_WRITERS = 1
"""Transactions at a time: SQLite has one writer, and waiting in the process is free."""


def create_engine(
    settings: DatabaseSettings, *, foreign_keys: bool = True
) -> AsyncEngine:
    """Create the engine of transactions; nothing connects yet.

    Each transaction takes the write lock at BEGIN. One that reads first and locks
    later loses updates, or fails with "database is locked".

    Args:
        settings: URL and timeouts.
        foreign_keys: Enforce them. Migrations must not: rebuilding a table would
            silently delete the rows that refer to it.
    """
    engine = _create_engine(settings, pool_size=1, foreign_keys=foreign_keys)

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    @event.listens_for(engine.sync_engine, "invalidate")
    def roll_back(connection: Any, _record: Any, _error: Any) -> None:
        # Closing alone keeps the write lock while a cursor with unread rows is alive,
        # and that of a cancelled statement is, in its traceback.
        connection.rollback()

    return engine


def create_read_engine(settings: DatabaseSettings, _engine: AsyncEngine) -> AsyncEngine:
    """Create the engine of read sessions: no transaction, and SQLite refuses to write."""
    pool_size = settings.database_pool_size
    engine = _create_engine(settings, pool_size=pool_size, read_only=True)
    # There is none to roll back, and each rollback would wait for the driver's thread.
    vars(engine.dialect).update(do_rollback=lambda connection: None)

    @event.listens_for(engine.sync_engine, "handle_error")
    def explain(context: Any) -> None:
        error = context.original_exception
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY:
            raise InvalidRequestError(
                "a read session cannot write: use Database.transaction()"
            ) from error

    return engine


def create_migration_engine(settings: DatabaseSettings) -> AsyncEngine:
    """Create the engine of migrations, which enforces no foreign keys."""
    return create_engine(settings, foreign_keys=False)


def _create_engine(
    settings: DatabaseSettings,
    *,
    pool_size: int,
    read_only: bool = False,
    foreign_keys: bool = True,
) -> AsyncEngine:
    url = settings.sqlalchemy_url
    path = Path(str(url.database))
    path.parent.mkdir(parents=True, exist_ok=True)
    connect = partial(Connection, history=StatementHistory())
    closed = path.exists() and not path.with_name(f"{path.name}-wal").exists()
    if closed and not foreign_keys and not os.access(path.parent, os.W_OK):
        # WAL needs files beside it. A migration is brief enough to do without them.
        url = url.set(database=path.as_uri(), query={"immutable": "1", "uri": "true"})
        connect = partial(Connection)
    engine = create_async_engine(
        url,
        echo=settings.database_echo,
        # Values of users belong in no log and no traceback.
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=settings.database_max_overflow,
        pool_timeout=settings.database_pool_timeout,
        connect_args={
            "async_creator_fn": connect,
            # The driver's own transactions would start too late.
            "isolation_level": None,
            "timeout": settings.database_busy_timeout,
        },
    )
    event.listen(
        engine.sync_engine,
        "connect",
        lambda connection, _record: connection.run_async(
            partial(_configure, foreign_keys=foreign_keys, read_only=read_only)
        ),
    )
    return engine


async def _configure(
    connection: Connection, *, foreign_keys: bool, read_only: bool
) -> None:
    [(mode,)] = await connection.execute_fetchall("PRAGMA journal_mode = WAL")
    if mode != "wal" and connection.history:
        # A lock would hold the event loop.
        connection.history = None
        logger.warning(
            "the journal mode is %s instead of WAL, so readers wait for writers:"
            " move the database to a local disk",
            mode,
        )
    await connection.executescript(
        # In WAL mode this survives a crash of the program: sqlite.org/pragma.html
        "PRAGMA synchronous = NORMAL;"
        f"PRAGMA foreign_keys = {foreign_keys:d}; PRAGMA query_only = {read_only:d};"
    )
    if read_only:
        await connection.set_authorizer(_keep_read_only)


def _keep_read_only(action: int, name: str | None, value: str | None, *_: Any) -> int:
    """Deny `PRAGMA query_only = …`: a statement must not switch it off."""
    switches = action == sqlite3.SQLITE_PRAGMA and str(name).lower() == "query_only"
    return sqlite3.SQLITE_DENY if switches and value else sqlite3.SQLITE_OK
