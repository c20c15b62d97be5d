"""What migrations must know about the database: PostgreSQL."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import alembic_postgresql_enum
from alembic import op
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.script import Script
from alembic.util import CommandError
from alembic_postgresql_enum.operations import sync_enum_values
from alembic_postgresql_enum.operations.add_enum_values import AddEnumValuesOp
from sqlalchemy import Column, Connection, event, func, select, text
from sqlalchemy.exc import DBAPIError

from ..settings import Settings

OPTIONS: dict[str, Any] = {
    # A value added to an enum can be used only after a COMMIT.
    "transaction_per_migration": True,
}

AFTER_FAILURE = "nothing of this revision is left in the database"

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts when a table is in use."""

LOCK_WAIT = 600
"""Seconds that a migrator waits for another one to finish."""

# Another order is no reason to write all tables anew.
alembic_postgresql_enum.set_configuration(
    alembic_postgresql_enum.Config(ignore_enum_values_order=True)
)


def refuse_offline() -> None:
    """Do nothing: `--sql` works here."""


@contextmanager
def prepare(connection: Connection, settings: Settings) -> Iterator[None]:
    """Let one migrator in, make the others wait, and set limits for each transaction.

    The lock belongs to a transaction on a connection of its own: on the migrating one
    it would end with the first revision, and a lock of the session would outlive us
    behind a pooler. It is asked for again and again, since waiting in one statement
    would deadlock with CREATE INDEX CONCURRENTLY.
    """
    # Whoever waits for a lock makes others wait; and a statement whose client was
    # killed would go on. The latter is not possible on Windows.
    wait = f"{settings.database_lock_timeout * 1000:.0f}ms"
    limits = (
        # One COMMIT at the end waits for the disk, and so for all before it.
        "SELECT set_config('synchronous_commit', 'off', true),"
        f" set_config('lock_timeout', '{wait}', true),"
        " CASE WHEN version() !~ 'mingw|Visual C' THEN"
        " set_config('client_connection_check_interval', '2s', true) END"
    )

    def limit(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            # Not through SQLAlchemy: this runs in each of many small transactions.
            connection.connection.cursor().execute(limits)

    name = func.hashtext(f"{__package__}.lock")
    deadline = time.monotonic() + LOCK_WAIT
    with connection.engine.connect() as guardian:
        while not guardian.scalar(select(func.pg_try_advisory_xact_lock(name))):
            # The other one's CREATE INDEX CONCURRENTLY waits for our transaction.
            guardian.rollback()
            if time.monotonic() > deadline:
                raise CommandError(
                    f"another migration has been running for {LOCK_WAIT} s:"
                    " wait for it, or end it in pg_stat_activity"
                )
            sleep(guardian, 0.2)
        guardian.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        event.listen(connection, "begin", limit)
        event.listen(connection, "before_cursor_execute", _bind_versions, retval=True)
        try:
            yield
        finally:
            event.remove(connection, "begin", limit)
            event.remove(connection, "before_cursor_execute", _bind_versions)
        guardian.execute(select(func.txid_current()))
        guardian.commit()


def _bind_versions(
    _connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any
) -> tuple[str, Any]:
    """Take the ids out of Alembic's statement, or each would be prepared anew."""
    if statement.startswith("UPDATE alembic_version "):
        # SQLAlchemy forgets what was prepared before a table changed; this one does not.
        cursor._invalidate_schema_cache_asof = 0
        ids = re.findall(r"'(\w+)'", statement)
        return re.sub(r"'\w+'", "{}", statement).format("$1", "$2"), tuple(ids)
    return statement, parameters


def back_up(_connection: Connection, _settings: Settings) -> None:
    """Do nothing: copies of a server are made with pg_dump or by whoever runs it."""


@contextmanager
def guard(_connection: Connection, _revision: Script | None) -> Iterator[None]:
    """Do nothing: the server itself refuses what would break a reference or a view."""
    yield


def is_locked(error: Exception) -> bool:
    """Tell whether a lock was not to be had in time, so that trying again can help."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) == "55P03"


def sleep(connection: Connection, seconds: float) -> None:
    """Wait on the server, which does not hold up an event loop."""
    with connection.begin():
        connection.execute(select(func.pg_sleep(seconds)))


@renderers.dispatch_for(AddEnumValuesOp, replace=True)
def render_added_values(_context: AutogenContext, change: Any) -> list[str]:
    """Write what adds values to an enum, each at its place.

    The library puts a value that belongs into the middle elsewhere, and quotes none.
    """
    lines = []
    place = f"BEFORE {_literal(change.old_values[0])}" if change.old_values else ""
    for value in change.new_values:
        if value not in change.old_values:
            statement = f'ALTER TYPE "{change.schema}"."{change.name}"'
            statement += f" ADD VALUE {_literal(value)} {place}".rstrip()
            # A colon would begin a parameter.
            lines.append(f"op.execute({statement.replace(':', chr(92) + ':')!r})")
        place = f"AFTER {_literal(value)}"
    return lines


def _create_type(connection: Connection, name: str, values: Sequence[str]) -> None:
    """Do what the library's function does, which quotes no value."""
    # A colon would begin a parameter.
    listed = ", ".join(map(_literal, values)).replace(":", "\\:")
    connection.execute(text(f"CREATE TYPE {name} AS ENUM ({listed})"))


sync_enum_values.__dict__["create_type"] = _create_type


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def normal(default: str) -> str:
    """Write a server default without the cast that the server adds."""
    return re.sub(r"::[\w\s\".\[\]]+(\(\d+\))?$", "", default).strip("()")


def same_value(
    connection: Connection, column: Column[Any], found: str, wanted: str
) -> bool:
    """Ask the server whether two server defaults have the same value."""
    if "nextval(" in found + wanted:
        return False  # Asking would change the sequence.
    kind = column.type.compile(connection.dialect)
    question = f"SELECT CAST({found} AS {kind})::text = CAST({wanted} AS {kind})::text"
    with connection.begin_nested() as savepoint:
        try:
            return bool(connection.exec_driver_sql(question).scalar())
        except DBAPIError:
            return False  # One is no value of the type: an enum without it, as yet.
        finally:
            savepoint.rollback()


def same_check(_found: str, _wanted: str) -> bool:
    """Tell whether two CHECK constraints say the same: the name has to do.

    The server keeps a check in words of its own.
    """
    return True


def create_index_concurrently(
    name: str, table: str, columns: Sequence[str], **options: Any
) -> None:
    """Create an index while others write; use it in place of `op.create_index`.

    It may be repeated: a valid index is left, and one that a failed attempt left
    invalid is made anew. It cannot be part of a transaction, so let it be the only
    thing that its revision does.

    Args:
        name: The index.
        table: The table.
        columns: The columns.
        options: What `op.create_index` takes.
    """
    with op.get_context().autocommit_block():
        if not op.get_context().as_sql:
            valid = op.get_bind().scalar(
                text(
                    "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:n)"
                ),
                {"n": name},
            )
            if valid:
                return
            if valid is not None:
                op.drop_index(name, table, postgresql_concurrently=True)
        op.create_index(
            name, table, list(columns), postgresql_concurrently=True, **options
        )


def drop_index_concurrently(name: str, table: str) -> None:
    """Drop an index while others write; it may be repeated."""
    with op.get_context().autocommit_block():
        op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
