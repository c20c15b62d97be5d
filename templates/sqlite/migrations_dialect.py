"""What migrations must know about the database: SQLite."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection

OPTIONS: dict[str, Any] = {
    # ALTER TABLE can do little here: a changed table is made anew and filled.
    "render_as_batch": True,
    # True since `dialect.py` begins transactions itself: all revisions or none.
    "transactional_ddl": True,
}


def lock(_connection: Connection) -> AbstractContextManager[None]:
    """Do nothing: BEGIN IMMEDIATE lets one migrator in and makes the others wait."""
    return nullcontext()


def refuse_offline() -> None:
    """Raise CommandError, for a table is made anew from what is found in the file."""
    raise CommandError(
        "--sql is not possible with SQLite: a changed table is made anew from what"
        " the database holds; run the command without --sql"
    )
