"""Engines of PostgreSQL: timeouts, pings of idle connections, poolers, replicas."""

import re
import time
from functools import lru_cache
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from .errors import SERVER_GONE, is_stale, sqlstate
from .settings import DatabaseSettings

DIALECT_NAME = "postgresql"

MAX_WRITERS = None
"""Transactions at a time: as many as there are connections."""

GRACE_SECONDS = 5
"""Seconds after `statement_timeout` in which the server must have answered."""

_READS = re.compile(r"[\s(]*(select|with|values|table|show|explain)\b", re.I)
_WRITES = re.compile(
    r"(?i)\b(insert\s+into|update\s+\S+\s+set|delete\s+from|merge\s+into"
    r"|for\s+(no\s+key\s+)?update)\b"
)


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    """Create the engine of transactions; nothing connects yet.

    Args:
        settings: URL, pool size, timeouts, and whether a pooler is in between.
    """
    # Zero means no limit, to the server as to us.
    limits = {
        "statement_timeout": f"{settings.database_statement_timeout * 1000:.0f}",
        "lock_timeout": f"{settings.database_lock_timeout * 1000:.0f}",
    }
    pooled = settings.database_pooler == "transaction"
    engine = create_async_engine(
        settings.sqlalchemy_url,
        echo=settings.database_echo,
        # Values of users belong in no log and no traceback.
        hide_parameters=True,
        connect_args={
            "timeout": settings.database_connect_timeout,
            # For a server that is too frozen to keep its own limit.
            "command_timeout": (
                settings.database_statement_timeout + GRACE_SECONDS
                if settings.database_statement_timeout
                else None
            ),
            "server_settings": {"application_name": __name__.partition(".")[0]}
            | ({} if pooled else limits),
            # A cached statement would meet another client's on the pooler's connection.
            **({"statement_cache_size": 0} if pooled else {}),
        },
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_timeout=settings.database_pool_timeout,
    )
    _ping_idle_connections(engine, settings.database_ping_after)
    _repeat_stale_statements(engine)
    if pooled:
        _limit_each_transaction(engine, limits)

    @event.listens_for(engine.sync_engine, "handle_error")
    def forget_connection(context: Any) -> None:
        error = context.original_exception
        if sqlstate(error) in SERVER_GONE or isinstance(error, OSError):
            context.is_disconnect = True

    return engine


def create_read_engine(settings: DatabaseSettings, engine: AsyncEngine) -> AsyncEngine:
    """Create the engine of read sessions: no BEGIN, no ROLLBACK, only the statement.

    It shares the pool of `engine`, unless DATABASE_READ_URL names a replica.
    """
    if url := settings.database_read_url:
        engine = create_engine(settings.model_copy(update={"database_url": url}))
    engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def refuse_writes(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if _is_write(statement):
            raise InvalidRequestError(
                "a read session cannot write: use Database.transaction()"
            )

    return engine


def create_migration_engine(settings: DatabaseSettings) -> AsyncEngine:
    """Create the engine of migrations: no statement and no lock timeout."""
    new: dict[str, Any] = {"database_statement_timeout": 0, "database_lock_timeout": 0}
    if url := settings.migration_database_url:
        new |= {"database_url": url, "database_pooler": "none"}
    return create_engine(settings.model_copy(update=new))


@lru_cache(maxsize=1000)
def _is_write(statement: str) -> bool:
    return not _READS.match(statement) or bool(_WRITES.search(statement))


def _ping_idle_connections(engine: AsyncEngine, idle_seconds: float) -> None:
    """Ping only connections that were idle for long; pre-ping costs every time."""

    @event.listens_for(engine.sync_engine, "checkin")
    def remember(_connection: Any, record: Any) -> None:
        record.info["checked_in"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def ping(connection: Any, record: Any, _proxy: Any) -> None:
        checked_in = record.info.get("checked_in")
        if checked_in is not None and time.monotonic() - checked_in > idle_seconds:
            try:
                engine.dialect.do_ping(connection)
            except Exception as error:
                raise DisconnectionError from error


def _repeat_stale_statements(engine: AsyncEngine) -> None:
    """Repeat a statement whose plan is stale, if its failure undid no other statement."""

    @event.listens_for(engine.sync_engine, "do_execute")
    def execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        connection = context.root_connection.connection
        undoes_others = connection.driver_connection.is_in_transaction()
        try:
            cursor.execute(statement, parameters)
        except Exception as error:
            if undoes_others or not is_stale(error):
                raise
            connection.rollback()
            # SQLAlchemy's own hooks: forget all plans, and use none of them.
            context.handle_dbapi_exception(error)
            context.pre_exec()
            cursor.execute(statement, parameters)
        return True


def _limit_each_transaction(engine: AsyncEngine, limits: dict[str, str]) -> None:
    """Set the timeouts at the start of each transaction.

    A pooler refuses them while connecting, and a plain SET would leak to other clients.
    """
    settings = ", ".join(f"set_config('{k}', '{v}', true)" for k, v in limits.items())

    @event.listens_for(engine.sync_engine, "begin")
    def limit(connection: Any) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql(f"SELECT {settings}")
