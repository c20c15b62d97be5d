"""What migrations must know about the database: SQLite."""

import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic.script import Script
from alembic.util import CommandError
from sqlalchemy import Column, Connection, event
from sqlalchemy.exc import DBAPIError

from ..settings import Settings

OPTIONS: dict[str, Any] = {
    # ALTER TABLE can do little here: a changed table is made anew and filled.
    "render_as_batch": True,
    # Possible since the engine begins transactions itself: all revisions or none.
    "transactional_ddl": True,
}

AFTER_FAILURE = "nothing of this run is left in the database"

PAUSES: tuple[float, ...] = ()
"""Nothing is tried again: a migrator holds the lock from its first statement on."""

LOCK_WAIT = 600
"""Seconds that a migrator waits for another one to finish."""

COPIES = 3
"""How many copies of the database file are kept."""

logger = logging.getLogger("alembic.runner")


def refuse_offline() -> None:
    """Raise CommandError, for a table is made anew from what is found in the file."""
    raise CommandError(
        "--sql is not possible with SQLite: a changed table is made anew from what"
        " the database holds; run the command without --sql"
    )


@contextmanager
def prepare(connection: Connection, _settings: Settings) -> Iterator[None]:
    """Enforce no foreign keys meanwhile, and wait long for other migrators.

    Making a table anew drops the old one, which would delete the rows that refer to
    it. The switch does nothing in a transaction: https://sqlite.org/pragma.html
    """
    names = {"foreign_keys": 0, "busy_timeout": LOCK_WAIT * 1000}
    cursor = connection.connection.cursor()
    before: dict[str, Any] = {}
    for name, value in names.items():
        cursor.execute(f"PRAGMA {name}")
        [(before[name],)] = cursor.fetchall()
        cursor.execute(f"PRAGMA {name} = {value}")
    try:
        yield
    finally:
        for name, value in before.items():
            cursor.execute(f"PRAGMA {name} = {value}")
        cursor.close()


def back_up(connection: Connection, settings: Settings) -> None:
    """Copy the database file before it is changed; keep the last few copies.

    The caller holds the write lock, so nothing is written meanwhile.
    """
    path = Path(str(connection.engine.url.database))
    if (
        not settings.database_backup
        or not connection.exec_driver_sql(
            "SELECT count(*) FROM sqlite_master WHERE tbl_name <> 'alembic_version'"
        ).scalar()
    ):
        return
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S-%f")
    copy = path.with_name(f"{path.name}.{now}.copy")
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(path)) as source:
            source.execute("VACUUM INTO ?", (str(unfinished),))
    except sqlite3.Error as error:
        raise CommandError(
            f"cannot copy the database to {copy}: {error}; DATABASE_BACKUP=false"
            " upgrades without a copy"
        ) from error
    unfinished.replace(copy)
    logger.info("copied the database to %s", copy)
    copies = sorted(path.parent.glob(f"{path.name}.*.copy"))
    for old in copies[:-COPIES]:
        old.unlink()


@contextmanager
def guard(connection: Connection, revision: Script | None) -> Iterator[None]:
    """Fail a revision that loses more than it says, so that it is rolled back.

    Making a table anew keeps its columns, plain indexes and named constraints, and
    loses the rest without a word.

    Raises:
        CommandError: Something is lost, or a row refers to one that is not there.
    """
    before: dict[str, str] = {}
    dropped: set[str] = set()
    broken: set[str] | None = None
    harmless = re.compile(r"\s*(CREATE (TABLE|(UNIQUE )?INDEX)|SELECT|PRAGMA)\b", re.I)
    drop = re.compile(r'\s*DROP (?:INDEX|TRIGGER|VIEW) (?:IF EXISTS )?"?(\w+)', re.I)

    def see(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal broken
        if broken is None and not harmless.match(statement):
            broken = _broken_references(connection)
        if not before and re.search(r'CREATE TABLE "?_alembic_tmp_', statement):
            before.update(_inventory(connection)[0])
        if found := drop.match(statement):
            dropped.add(found[1])

    event.listen(connection, "before_cursor_execute", see)
    name = Path(revision.path).name if revision else "stamp"
    try:
        yield
    except DBAPIError as error:
        # The only loss that SQLite itself refuses, in words that name nothing.
        if generated := [what for what in before if "generated" in what]:
            raise CommandError(
                f"{name}: a new table cannot take over {', '.join(generated)}"
                f" ({error.orig}); drop it first, and add it again after"
            ) from error
        raise
    finally:
        event.remove(connection, "before_cursor_execute", see)
    if before and not getattr(revision and revision.module, "allow_data_loss", False):
        after, owners = _inventory(connection)
        lost = [
            what
            for what, owner in before.items()
            if what not in after and owner in owners and what.split()[-1] not in dropped
        ]
        if lost:
            raise CommandError(
                f"{name}: making a table anew would lose {', '.join(lost)};"
                " make it again in the revision, or if it is to go, drop it there first"
            )
    if broken is not None and (new := _broken_references(connection) - broken):
        raise CommandError(f"{name}: rows would refer to missing rows: {min(new)}")


def _inventory(connection: Connection) -> tuple[dict[str, str], set[str]]:
    """Return what a new table could lose, each with its owner, and all owners.

    What belongs to a table or column that is gone went with it, as it should.
    """
    found: dict[str, str] = {}
    owners = {""}
    tables = connection.exec_driver_sql(
        "SELECT m.name, c.name, c.hidden, m.sql"
        " FROM sqlite_master m, pragma_table_xinfo(m.name) c WHERE m.type = 'table'"
    )
    for table, column, hidden, sql in tables:
        owners |= {table, f"{table}.{column}"}
        if hidden in (2, 3):
            found[f"the generated column {table}.{column}"] = f"{table}.{column}"
        collation = rf"[(,]\s*\W?{re.escape(column)}\W?\s[^,]*?COLLATE\s+(\w+)"
        if collated := re.search(collation, sql, re.I):
            found[f"COLLATE {collated[1]} of {table}.{column}"] = f"{table}.{column}"
        for words in ("AUTOINCREMENT", "ON CONFLICT", "STRICT", "WITHOUT ROWID"):
            if re.search(rf"\b{words}\b", sql, re.I):
                found[f"{words} of {table}"] = table
        checks = (r"\bCHECK\s*\(", r"\bCONSTRAINT\s+\S+\s+CHECK\s*\(")
        every, named = (len(re.findall(check, sql, re.I)) for check in checks)
        if every > named:
            found[f"a CHECK without a name of {table}"] = table
    indexes = connection.exec_driver_sql(
        "SELECT m.name, m.tbl_name, i.cid, i.desc, i.coll"
        " FROM sqlite_master m, pragma_index_xinfo(m.name) i"
        " WHERE m.type = 'index' AND m.sql IS NOT NULL AND i.key"
    )
    for index, table, column, descending, collation in indexes:
        if column == -2:
            found[f"the expression index {index}"] = table
        elif descending:
            found[f"DESC of the index {index}"] = index
        if collation != "BINARY":
            found[f"COLLATE {collation} of the index {index}"] = index
        owners.add(index)
    others = connection.exec_driver_sql(
        "SELECT type, name, iif(type = 'view', '', tbl_name)"
        " FROM sqlite_master WHERE type IN ('trigger', 'view')"
    )
    for kind, name, owner in others:
        found[f"the {kind} {name}"] = owner
    return found, owners


def _broken_references(connection: Connection) -> set[str]:
    rows = connection.exec_driver_sql("PRAGMA foreign_key_check")
    return {f"{child} {row} -> {parent}" for child, row, parent, _ in rows}


def is_locked(_error: Exception) -> bool:
    """Tell whether trying again can help: never, as others are waited for."""
    return False


def sleep(_connection: Connection, _seconds: float) -> None:
    """Do nothing: nothing is tried again."""


def normal(default: str) -> str:
    """Write a server default as the database does."""
    while default.startswith("(") and default.endswith(")"):
        default = default[1:-1]
    return default.strip()


def same_value(
    _connection: Connection, _column: Column[Any], _found: str, _wanted: str
) -> bool:
    """Tell whether two server defaults have the same value: not if they read otherwise.

    SQLite keeps a default as it was written.
    """
    return False


def same_check(found: str, wanted: str) -> bool:
    """Tell whether two CHECK constraints say the same; SQLite keeps them as written."""
    return normal(found) == normal(wanted)
