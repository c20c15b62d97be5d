"""Errors of SQLite: which can be retried, which constraint, what to do."""

import re
import sqlite3
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from .settings import DatabaseSettings

PROGRAM = __name__.partition(".")[0]

DATABASE_ERRORS = (DBAPIError, OSError)
"""Errors raised by the database, or on the way to it."""

CHECK_DATABASE_URL = "name another file in DATABASE_URL, or make this one writable"
UPGRADE = f"run the migrations: {PROGRAM} db upgrade head"

HINTS = {
    "no such table": UPGRADE,
    "no such column": UPGRADE,
    "has no column named": UPGRADE,
    "unable to open database file": CHECK_DATABASE_URL,
    "readonly database": CHECK_DATABASE_URL,
    "file is not a database": "name another file in DATABASE_URL",
    "is locked": "end the other writer, or raise DATABASE_BUSY_TIMEOUT",
    "disk is full": "free some space",
}
"""Fixes, by a part of SQLite's message."""


def describe_error(error: BaseException) -> str:
    """Return one line: the error and, where it is known, the fix.

    Args:
        error: An exception from the database, or on the way to it.
    """
    cause = getattr(error, "orig", None) or error
    message = " ".join(str(cause).split()) or type(cause).__name__
    if isinstance(cause, OSError):
        return f"{cause.filename}: {cause.strerror or message}; {CHECK_DATABASE_URL}"
    hints = [hint for words, hint in HINTS.items() if words in message]
    return f"{message}; {hints[0]}" if hints else message


def missing_database_reason(settings: DatabaseSettings) -> str | None:
    """Return why there is no database yet, or None: connecting would create the file."""
    path = Path(str(settings.sqlalchemy_url.database))
    return None if path.exists() else f"{path} does not exist yet; {UPGRADE}"


def is_retryable(error: BaseException) -> bool:
    """Return whether the same transaction can succeed when repeated: SQLite was busy."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def constraint_name(error: IntegrityError, metadata: sa.MetaData) -> str | None:
    """Return the name of the violated constraint, if the error tells it.

    SQLite names a CHECK, and for UNIQUE and PRIMARY KEY only the columns; for a
    foreign key it names nothing: https://www.sqlite.org/rescode.html
    """
    message = str(error.orig)
    if check := re.search(r"CHECK constraint failed: (\w+)", message):
        return check[1]
    if columns := re.search(r"UNIQUE constraint failed: (.+)", message):
        failed = columns[1].split(", ")
        table = metadata.tables[failed[0].rpartition(".")[0]]
        unique = (index for index in table.indexes if index.unique)
        for constraint in (*table.constraints, *unique):
            named = (sa.UniqueConstraint, sa.PrimaryKeyConstraint, sa.Index)
            if isinstance(constraint, named):
                if failed == [str(column) for column in constraint.columns]:
                    return str(constraint.name)
    return None
