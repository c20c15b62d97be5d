"""What failures of the database mean to whoever runs a command, and what mends them."""

import socket

from .settings import Settings

CORRECT = "correct DATABASE_URL, or its parts, in the environment or in .env"

MENDS = {
    "28000": CORRECT,
    "28P01": CORRECT,
    "3D000": f"create that database, or {CORRECT}",
    "42P01": "make migrate makes the tables",
    "42703": "make migrate brings the tables to what the models say",
    "42501": "grant it, or migrate as another user with MIGRATION_DATABASE_URL",
    "53300": "end some of them, or lower DATABASE_POOL_SIZE",
    "57P03": "try again in a moment",
}
"""By SQLSTATE."""


def explain(error: BaseException) -> str:
    """Say in one line what failed and what mends it, without a password.

    Args:
        error: What came from the database or on the way to it.
    """
    cause = getattr(error, "orig", None) or error
    said = " ".join(str(cause).split()) or type(cause).__name__
    if isinstance(cause, socket.gaierror):
        return f"{said}; {CORRECT}"
    if isinstance(cause, TimeoutError):
        return f"no answer in time; start the server, or {CORRECT}"
    if isinstance(cause, OSError):
        return (
            f"{cause.strerror or said}; start the server (make database runs one, and"
            f" prints its address), or {CORRECT}"
        )
    mend = MENDS.get(getattr(cause, "sqlstate", None) or "")
    return f"{said}; {mend}" if mend else said


def not_yet(settings: Settings) -> str | None:
    """Say why there is no database to look at yet, where `make` brings one along."""
    for name in settings.model_fields_set:
        if name == "database_url" or name.endswith("_host"):
            return None
    return "none is set: make starts the embedded server with each command"
