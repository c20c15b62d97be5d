"""Errors of PostgreSQL: which can be retried, which constraint, what to do."""

import socket

import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from .settings import DatabaseSettings

PROGRAM = __name__.partition(".")[0]

# SQLAlchemy 2.0 passes on the driver's own exceptions while it connects.
DATABASE_ERRORS = (DBAPIError, OSError, asyncpg.PostgresError)
"""Errors raised by the database, or on the way to it."""

# https://www.postgresql.org/docs/current/errcodes-appendix.html
SERVER_GONE = {"25006", "57P01", "57P02", "57P03", "08003", "08006"}
"""SQLSTATEs of a server that became a standby, stops, crashed, starts, or is lost."""

RETRYABLE = {"40001", "40P01", "53300"}
"""SQLSTATEs of a serialization failure, a deadlock, too many connections."""

CHECK_DATABASE_URL = "check DATABASE_URL, or its parts, in the environment or in .env"
UPGRADE = f"run the migrations: {PROGRAM} db upgrade head"

HINTS = {
    "28000": CHECK_DATABASE_URL,
    "28P01": CHECK_DATABASE_URL,
    "3D000": f"create that database, or {CHECK_DATABASE_URL}",
    "42P01": UPGRADE,
    "42703": UPGRADE,
    "42501": "grant it, or migrate as another user with MIGRATION_DATABASE_URL",
    "53300": "close some of them, or lower DATABASE_POOL_SIZE",
    "57P03": "try again in a moment",
}
"""Fixes, by SQLSTATE."""


def describe_error(error: BaseException) -> str:
    """Return one line, without a password: the error and, where it is known, the fix.

    Args:
        error: An exception from the database, or on the way to it.
    """
    cause = getattr(error, "orig", None) or error
    message = " ".join(str(cause).split()) or type(cause).__name__
    if isinstance(cause, socket.gaierror):
        return f"{message}; {CHECK_DATABASE_URL}"
    if isinstance(cause, TimeoutError):
        return f"no answer in time; start the server, or {CHECK_DATABASE_URL}"
    if isinstance(cause, OSError):
        return (
            f"{cause.strerror or message}; start the server (make database starts one"
            f" and prints its URL), or {CHECK_DATABASE_URL}"
        )
    hint = HINTS.get(sqlstate(cause) or "")
    return f"{message}; {hint}" if hint else message


def missing_database_reason(settings: DatabaseSettings) -> str | None:
    """Return why there is no database yet, or None: `make` starts one when needed."""
    for name in settings.model_fields_set:
        if name == "database_url" or name.endswith("_host"):
            return None
    return "not set; make starts the embedded server with each command"


def is_retryable(error: BaseException) -> bool:
    """Return whether the same transaction can succeed when repeated."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, OSError)  # TimeoutError is one, too.
    if error.connection_invalidated or sqlstate(error.orig) in RETRYABLE:
        return True
    wrong_node = asyncpg.exceptions.TargetServerAttributeNotMatched
    cause = getattr(error.orig, "__cause__", None)
    return isinstance(cause, wrong_node) or is_stale(error.orig)


def is_stale(error: BaseException | None) -> bool:
    """Return whether a plan is older than a change of its tables or types."""
    cause = getattr(error, "__cause__", None)
    outdated = asyncpg.exceptions.InvalidCachedStatementError
    return isinstance(cause, outdated) or "cache lookup failed" in str(cause)


def constraint_name(error: IntegrityError, _metadata: sa.MetaData) -> str | None:
    """Return the name of the violated constraint, if the error tells it."""
    # SQLAlchemy's adapter raises its own error from that of the driver.
    driver_error = getattr(error.orig, "__cause__", None) or error.orig
    return getattr(driver_error, "constraint_name", None)


def sqlstate(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of a driver's error, if it has one."""
    return getattr(error, "sqlstate", None)
