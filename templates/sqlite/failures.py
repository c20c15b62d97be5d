"""What failures of the database mean to whoever runs a command, and what mends them."""

from pathlib import Path

from .settings import Settings

CORRECT = "name another file in DATABASE_URL, or let this one be written to"

MENDS = {
    "no such table": "make migrate makes the tables",
    "no such column": "make migrate brings the tables to what the models say",
    "has no column named": "make migrate brings the tables to what the models say",
    "unable to open database file": CORRECT,
    "readonly database": CORRECT,
    "file is not a database": "name another file in DATABASE_URL",
    "is locked": "end what else writes to it, or raise DATABASE_BUSY_TIMEOUT",
    "disk is full": "make room",
}
"""By what the message says."""


def explain(error: BaseException) -> str:
    """Say in one line what failed, and what mends it.

    Args:
        error: What came from the database or on the way to it.
    """
    cause = getattr(error, "orig", None) or error
    said = " ".join(str(cause).split()) or type(cause).__name__
    if isinstance(cause, OSError):
        return f"{cause.filename}: {cause.strerror or said}; {CORRECT}"
    mends = [mend for words, mend in MENDS.items() if words in said]
    return f"{said}; {mends[0]}" if mends else said


def not_yet(settings: Settings) -> str | None:
    """Say why there is no database to look at yet, if so: looking would make it."""
    path = Path(str(settings.address.database))
    return None if path.exists() else f"{path} is not there yet: make migrate"
