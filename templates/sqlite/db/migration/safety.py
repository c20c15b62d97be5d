"""Safety of migrations on SQLite: write lock, backup, checks of rebuilt tables."""

import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from alembic.script import Script
from alembic.util import CommandError
from sqlalchemy import Column, Connection, event
from sqlalchemy.exc import DBAPIError

from .runner import MigrationRunner

LOCK_TIMEOUT_SECONDS = 600
"""Time that a migration waits for another one to finish."""

BACKUPS_KEPT = 3
"""Copies of the database file beside it; older ones are deleted."""

logger = logging.getLogger("alembic.runner")


class SafeMigrationRunner(MigrationRunner):
    """Runner for SQLite: a backup first, then all revisions or none."""

    options: ClassVar[dict[str, Any]] = {
        # ALTER TABLE can do little: a changed table is rebuilt and filled.
        "render_as_batch": True,
        # Possible because the engine starts transactions itself: all revisions or none.
        "transactional_ddl": True,
    }
    offline_refusal = (
        "--sql is not possible with SQLite: a changed table is rebuilt from the one in"
        " the database; run the command without --sql"
    )
    rollback_note = "nothing of this run is left in the database"
    backup_hint = "the command copies the file, unless DATABASE_BACKUP=false"

    @contextmanager
    def migration_lock(self, connection: Connection) -> Iterator[None]:
        """Enforce no foreign keys in the block, and wait long for other migrations.

        Rebuilding a table drops the old one, which would delete the rows that refer to
        it. The switch does nothing in a transaction: https://sqlite.org/pragma.html
        """
        values = {"foreign_keys": 0, "busy_timeout": LOCK_TIMEOUT_SECONDS * 1000}
        cursor = connection.connection.cursor()
        before: dict[str, Any] = {}
        for name, value in values.items():
            cursor.execute(f"PRAGMA {name}")
            [(before[name],)] = cursor.fetchall()
            cursor.execute(f"PRAGMA {name} = {value}")
        try:
            yield
        finally:
            for name, value in before.items():
                cursor.execute(f"PRAGMA {name} = {value}")
            cursor.close()

    def take_steps(self, connection: Connection, steps: list[Any]) -> Iterator[Any]:
        """Back up before the first step, and verify each one."""
        if steps and self.settings.database_backup:
            back_up(connection)
        for step in steps:
            revision = getattr(step, "revision", None)
            verify = verify_revision(connection, revision)
            step.migration_fn = verify(step.migration_fn)
            yield step

    def defaults_equal(
        self, connection: Connection, column: Column[Any], found: str, wanted: str
    ) -> bool:
        """Return whether two defaults read alike: SQLite keeps the text."""
        return normalize(found) == normalize(wanted)

    def checks_equal(self, found: str, wanted: str) -> bool:
        """Return whether two CHECK constraints read alike: SQLite keeps the text."""
        return normalize(found) == normalize(wanted)


def normalize(sql: str) -> str:
    """Return an SQL expression without the parentheses around it."""
    while sql.startswith("(") and sql.endswith(")"):
        sql = sql[1:-1]
    return sql.strip()


def back_up(connection: Connection) -> None:
    """Copy the database file beside it, and delete all but the last few copies.

    The caller holds the write lock, so nothing is written meanwhile.
    """
    path = Path(str(connection.engine.url.database))
    tables = "SELECT count(*) FROM sqlite_master WHERE tbl_name <> 'alembic_version'"
    if not connection.exec_driver_sql(tables).scalar():
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
    for old in sorted(path.parent.glob(f"{path.name}.*.copy"))[:-BACKUPS_KEPT]:
        old.unlink()


@contextmanager
def verify_revision(connection: Connection, revision: Script | None) -> Iterator[None]:
    """Fail a revision that loses more than it says, so that it is rolled back.

    Rebuilding a table keeps its columns, plain indexes and named constraints, and
    silently loses everything else.

    Raises:
        CommandError: Something is lost, or a row refers to a missing one.
    """
    before: dict[str, str] = {}
    dropped: set[str] = set()
    broken: set[str] | None = None
    harmless = re.compile(r"\s*(CREATE (TABLE|(UNIQUE )?INDEX)|SELECT|PRAGMA)\b", re.I)
    drop = re.compile(r'\s*DROP (?:INDEX|TRIGGER|VIEW) (?:IF EXISTS )?"?(\w+)', re.I)

    def on_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal broken
        if broken is None and not harmless.match(statement):
            broken = _broken_references(connection)
        if not before and re.search(r'CREATE TABLE "?_alembic_tmp_', statement):
            before.update(_snapshot_schema(connection)[0])
        if found := drop.match(statement):
            dropped.add(found[1])

    event.listen(connection, "before_cursor_execute", on_statement)
    name = Path(revision.path).name if revision else "stamp"
    try:
        yield
    except DBAPIError as error:
        # The only loss that SQLite itself refuses, in words that name nothing.
        if generated := [what for what in before if "generated" in what]:
            raise CommandError(
                f"{name}: a rebuilt table cannot keep {', '.join(generated)}"
                f" ({error.orig}); drop it first, and add it again after"
            ) from error
        raise
    finally:
        event.remove(connection, "before_cursor_execute", on_statement)
    if before and not getattr(revision and revision.module, "allow_data_loss", False):
        after, owners = _snapshot_schema(connection)
        lost = [
            what
            for what, owner in before.items()
            if what not in after and owner in owners and what.split()[-1] not in dropped
        ]
        if lost:
            raise CommandError(
                f"{name}: rebuilding a table would lose {', '.join(lost)};"
                " create it again in the revision, or drop it there first if it is to"
                " go"
            )
    if broken is not None and (new := _broken_references(connection) - broken):
        raise CommandError(f"{name}: rows would refer to missing rows: {min(new)}")


def _snapshot_schema(connection: Connection) -> tuple[dict[str, str], set[str]]:
    """Return the features that a rebuilt table could lose, with owners; and all owners.

    A feature of a table or column that was dropped is expected to go with it.
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
