"""Everything that this project knows about its database: PostgreSQL."""

import enum
import time
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, Literal

import asyncpg
import sqlalchemy as sa
from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings
from sqlalchemy import event
from sqlalchemy.dialects.postgresql import insert as insert
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.types import UserDefinedType

NAME = "postgresql"

WRITERS = None
"""How many may write at a time: as many as there are connections."""

ID = (sa.BigInteger(), sa.Identity())
"""What an `id` column is made of."""

ENUM = sa.Enum(
    enum.Enum, values_callable=lambda kind: [member.value for member in kind]
)
"""How a Python enum is stored: a type of its own, named after the class."""

NOW = sa.func.now()
"""The database's clock: the start of the transaction."""

# SQLAlchemy 2.0 hands on what the driver raises while it connects.
ERRORS = (DBAPIError, OSError, asyncpg.PostgresError)
"""What the database may raise, and the way to it."""

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_SERVER_GONE = {"25006", "57P01", "57P02", "57P03", "08003", "08006"}
"""The node became a standby, shuts down, crashed, starts; the connection was lost."""

_RETRYABLE = {"40001", "40P01", "53300"}
"""A serialization failure, a deadlock, too many connections."""


class DialectSettings(BaseSettings):
    """The settings of a project on PostgreSQL; times are in seconds."""

    database_url: SecretStr | None = None
    postgres_host: str = "127.0.0.1"
    postgres_port: int = Field(default=5432, ge=1, le=65535)
    postgres_user: str = "postgres"
    postgres_password: SecretStr = SecretStr("")
    postgres_db: str = "postgres"
    database_read_url: SecretStr | None = None
    migration_database_url: SecretStr | None = None

    database_echo: bool = False
    database_pool_size: int = Field(default=10, ge=1)
    database_max_overflow: int = Field(default=0, ge=0)
    database_pool_timeout: float = Field(default=30, ge=0)
    database_slow_query_ms: float = Field(default=500, ge=0)
    database_ping_after: float = Field(default=30, ge=0)
    database_pooler: Literal["none", "transaction"] = "none"
    database_connect_timeout: float = Field(default=5, gt=0)
    database_statement_timeout: float = Field(default=30, ge=0)
    database_lock_timeout: float = Field(default=5, ge=0)

    @field_validator("database_url", "database_read_url", "migration_database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            normalise(value)
        return value

    @field_validator("app_env", check_fields=False)
    @classmethod
    def _has_a_password_of_its_own(cls, value: str, info: ValidationInfo) -> str:
        password = cls.model_construct(**info.data).address.password
        if value == "production" and password in ("password", "postgres"):
            raise ValueError("production needs a password that stands in no example")
        return value

    @property
    def address(self) -> sa.URL:
        """The address that the driver takes."""
        if self.database_url is not None:
            return normalise(self.database_url)
        return sa.URL.create(
            "postgresql+asyncpg",
            username=self.postgres_user,
            password=self.postgres_password.get_secret_value() or None,
            host=self.postgres_host,
            port=self.postgres_port,
            database=self.postgres_db,
        )


def normalise(value: SecretStr) -> sa.URL:
    """Turn any spelling that a platform hands out into the address asyncpg takes.

    Raises:
        ValueError: It is no address of a PostgreSQL database.
    """
    try:
        given = sa.make_url(value.get_secret_value())
    except ArgumentError:
        given = None
    if given is None or given.get_backend_name() not in ("postgres", NAME):
        raise ValueError("expected postgresql://user:password@host:port/database")
    query = {"ssl" if k == "sslmode" else k: v for k, v in given.query.items()}
    # asyncpg has no channel binding; what `sslmode` asks for stays in force.
    query.pop("channel_binding", None)
    if unknown := query.keys() - {"host", "port", "ssl", "target_session_attrs"}:
        raise ValueError(f"asyncpg does not know the parameter {min(unknown)!r}")
    return given.set(drivername="postgresql+asyncpg", query=query)


def create_engine(settings: DialectSettings) -> AsyncEngine:
    """Create an engine; nothing connects yet.

    Args:
        settings: The address, pool sizes, timeouts, and whether a pooler is in between.
    """
    # Zero means no limit, to the server as to us.
    limits = {
        "statement_timeout": f"{settings.database_statement_timeout * 1000:.0f}",
        "lock_timeout": f"{settings.database_lock_timeout * 1000:.0f}",
    }
    pooled = settings.database_pooler == "transaction"
    engine = create_async_engine(
        settings.address,
        echo=settings.database_echo,
        connect_args={
            "timeout": settings.database_connect_timeout,
            "server_settings": {"application_name": __package__}
            | ({} if pooled else limits),
            # A cached statement would meet another client's on the pooler's connection.
            **({"statement_cache_size": 0} if pooled else {}),
        },
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_timeout=settings.database_pool_timeout,
    )
    _ping_idle_connections(engine, settings.database_ping_after)
    if pooled:
        _limit_each_transaction(engine, limits)

    @event.listens_for(engine.sync_engine, "handle_error")
    def forget_connection(context: Any) -> None:
        error = context.original_exception
        if _sqlstate(error) in _SERVER_GONE or isinstance(error, ConnectionError):
            context.is_disconnect = True

    return engine


def create_read_engine(settings: DialectSettings, engine: AsyncEngine) -> AsyncEngine:
    """Create the engine of readers: no BEGIN and no ROLLBACK, only the statement.

    It shares the pool of `engine`, unless there is an address just for reading.
    """
    if address := settings.database_read_url:
        engine = create_engine(settings.model_copy(update={"database_url": address}))
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def create_migration_engine(settings: DialectSettings) -> AsyncEngine:
    """Create the engine that migrations run on: no statement and no lock timeout."""
    new: dict[str, Any] = {"database_statement_timeout": 0, "database_lock_timeout": 0}
    if address := settings.migration_database_url:
        new |= {"database_url": address, "database_pooler": "none"}
    return create_engine(settings.model_copy(update=new))


def finish_table(_table: sa.Table) -> None:
    """Do nothing: enums are types of their own here and need no CHECK."""


def is_retryable(error: BaseException) -> bool:
    """Tell whether running the same transaction again can succeed."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, OSError)  # which TimeoutError is too
    if error.connection_invalidated or _sqlstate(error.orig) in _RETRYABLE:
        return True
    wrong_node = asyncpg.exceptions.TargetServerAttributeNotMatched
    return isinstance(getattr(error.orig, "__cause__", None), wrong_node)


def constraint_name(error: IntegrityError, _metadata: sa.MetaData) -> str | None:
    """Return the name of the violated constraint, where the error tells it."""
    # SQLAlchemy's adapter raises its own error from that of the driver.
    driver_error = getattr(error.orig, "__cause__", None) or error.orig
    return getattr(driver_error, "constraint_name", None)


async def insert_many(
    session: AsyncSession,
    table: sa.Table,
    names: Sequence[str],
    rows: Iterator[Sequence[Any]],
) -> int:
    """Insert rows with COPY and return how many there were.

    For a type of another library it is INSERT: the driver writes such values as text,
    and its COPY takes none.

    Args:
        session: The session whose transaction the rows join; it must have begun, which
            the driver does with the first statement, and COPY is none to it.
        table: The table.
        names: The columns, in the order of each row's values.
        rows: Values as the driver takes them; read one by one, so memory stays flat.
    """
    connection = await session.connection()
    driver: Any = (await connection.get_raw_connection()).driver_connection
    try:
        kinds = [c.type.dialect_impl(connection.dialect) for c in table.columns]
        plain = [getattr(kind, "impl_instance", kind) for kind in kinds]
        if any(isinstance(kind, UserDefinedType) for kind in plain):
            quote = connection.dialect.identifier_preparer
            columns = ", ".join(map(quote.quote, names))
            marks = ", ".join(f"${number}" for number in range(1, len(names) + 1))
            into = f"INSERT INTO {quote.format_table(table)} ({columns})"
            # The rows come first, so that at their end no number is taken.
            numbers = count()
            counted = (row for row, _ in zip(rows, numbers, strict=False))
            await driver.executemany(f"{into} VALUES ({marks})", counted)
            return next(numbers)
        status = await driver.copy_records_to_table(
            table.name, schema_name=table.schema, columns=names, records=rows
        )
    except asyncpg.IntegrityConstraintViolationError as error:
        raise IntegrityError(f"COPY {table.name}", None, error) from error
    return int(status.removeprefix("COPY "))


def _ping_idle_connections(engine: AsyncEngine, idle: float) -> None:
    """Ping only what has been idle for long: SQLAlchemy's pre-ping costs every time."""

    @event.listens_for(engine.sync_engine, "checkin")
    def remember(_connection: Any, record: Any) -> None:
        record.info["checked_in"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def ping(connection: Any, record: Any, _proxy: Any) -> None:
        checked_in = record.info.get("checked_in")
        if checked_in is not None and time.monotonic() - checked_in > idle:
            try:
                engine.dialect.do_ping(connection)
            except Exception as error:
                raise DisconnectionError from error


def _limit_each_transaction(engine: AsyncEngine, limits: dict[str, str]) -> None:
    """Set the timeouts anew in each transaction.

    A pooler refuses them when connecting and shows a plain SET to other clients.
    """
    settings = ", ".join(f"set_config('{k}', '{v}', true)" for k, v in limits.items())

    @event.listens_for(engine.sync_engine, "begin")
    def limit(connection: Any) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql(f"SELECT {settings}")


def _sqlstate(error: BaseException | None) -> str | None:
    return getattr(error, "sqlstate", None)
