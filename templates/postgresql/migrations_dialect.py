"""What migrations must know about the database: PostgreSQL."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import alembic_postgresql_enum
from alembic.util import CommandError
from sqlalchemy import Connection, func, select, text

OPTIONS: dict[str, Any] = {
    # A value added to an enum can be used only after a COMMIT.
    "transaction_per_migration": True,
}

LOCK_WAIT = 600
"""How many seconds a migrator waits for another one to finish."""

# The order of an enum's values differs after one is added in the middle, because the
# library puts it at the wrong place; a difference in order is not worth a revision.
alembic_postgresql_enum.set_configuration(
    alembic_postgresql_enum.Config(ignore_enum_values_order=True)
)


@contextmanager
def lock(connection: Connection) -> Iterator[None]:
    """Let one migrator in and make the others wait.

    The lock belongs to a transaction on a connection of its own: on the migrating one
    it would end with the first revision, and a lock of the session would outlive us
    behind a pooler. It is asked for again and again, since waiting in one statement
    would deadlock with CREATE INDEX CONCURRENTLY.
    """
    name = func.hashtext(f"{__package__}.lock")
    deadline = time.monotonic() + LOCK_WAIT
    with connection.engine.connect() as guard, guard.begin():
        guard.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        while not guard.scalar(select(func.pg_try_advisory_xact_lock(name))):
            if time.monotonic() > deadline:
                raise CommandError(
                    f"another migration has been running for {LOCK_WAIT} s:"
                    " wait for it, or end it in pg_stat_activity"
                )
            guard.execute(select(func.pg_sleep(0.2)))
        yield


def refuse_offline() -> None:
    """Do nothing: `--sql` works with PostgreSQL."""
