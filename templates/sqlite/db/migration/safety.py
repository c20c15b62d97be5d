"""Safety of migrations on SQLite: write lock, backup, checks of rebuilt tables."""

import logging
import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from alembic import context
from alembic.ddl.sqlite import SQLiteImpl
from alembic.operations import ops
from alembic.script import Script
from alembic.util import CommandError
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Inspector,
    MetaData,
    Table,
    TextClause,
    event,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable

from .data_loss import find_duplicates
from .runner import MigrationRunner

LOCK_TIMEOUT_SECONDS = 600
"""Time that a migration waits for another one to finish."""

BACKUPS_KEPT = 3
"""Copies of the database file beside it; older ones are deleted."""

# A NULL is a part that belongs to the table: an expression in an index.
FEATURES = """
SELECT name, 'the type', replace(upper(type), ' ', '') FROM pragma_table_xinfo(?1)
UNION SELECT name, 'NOT NULL', '' FROM pragma_table_xinfo(?1) WHERE "notnull"
UNION SELECT name, 'DEFAULT', dflt_value FROM pragma_table_xinfo(?1)
UNION SELECT name, 'the generated column', '' FROM pragma_table_xinfo(?1) WHERE hidden > 1
UNION SELECT "from", 'REFERENCES ' || "table", printf('(%s) %s %s',
    coalesce("to", (SELECT name FROM pragma_table_info(k."table") WHERE pk = seq + 1)),
    'ON UPDATE ' || on_update, 'ON DELETE ' || on_delete)
    FROM pragma_foreign_key_list(?1) k
UNION SELECT x.name, CASE origin WHEN 'c' THEN 'the index ' || l.name WHEN 'u' THEN
    'UNIQUE (' || group_concat(x.name) OVER (PARTITION BY l.name) || ')' ELSE 'PRIMARY KEY'
    END, iif(desc, 'DESC ', '') || iif(coll = 'BINARY', '', 'COLLATE ' || coll)
    FROM pragma_index_list(?1) l, pragma_index_xinfo(l.name) x WHERE x.key
"""

SQL_WORD = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^]]*\]|--[^\n]*|/\*.*?\*/|\w+|[<=>|!]+|\S""",
    re.DOTALL,
)
"""Word, quoted name or string, comment, or other character of SQL."""

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

    def run_with_connection(self, connection: Connection) -> None:
        """Run the command; what it reflects can pass through `text()`."""
        dialect: Any = connection.dialect
        dialect.inspector = EscapingInspector
        try:
            super().run_with_connection(connection)
        finally:
            del dialect.inspector

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
        return normalize(str(text(found))) == normalize(wanted)

    def expressions_equal(
        self, found: str, wanted: str, table: Table, name: str
    ) -> bool:
        """Return whether two expressions read alike: SQLite keeps the text."""
        return normalize(found) == normalize(wanted)

    def computed_equal(self, found: str, wanted: str, column: Column[Any]) -> bool:
        """Return whether two expressions read alike: SQLite keeps the text."""
        return normalize(found) == normalize(wanted)


class EscapingInspector(Inspector):
    """Reflects SQL with its colons escaped, since SQLAlchemy makes it a `text()`."""

    def get_multi_columns(self, *args: Any, **options: Any) -> Any:
        """Escape defaults and computed columns."""
        return escape_colons(super().get_multi_columns(*args, **options))

    def get_multi_check_constraints(self, *args: Any, **options: Any) -> Any:
        """Escape CHECK constraints."""
        return escape_colons(super().get_multi_check_constraints(*args, **options))

    def get_multi_indexes(self, *args: Any, **options: Any) -> Any:
        """Escape predicates."""
        return escape_colons(super().get_multi_indexes(*args, **options))

    def get_indexes(self, *args: Any, **options: Any) -> Any:
        """Escape predicates."""
        return escape_colons(super().get_indexes(*args, **options))


def escape_colons(value: Any, key: str = "") -> Any:
    """Escape the colons that `text()` would take for parameters, also in reflected data."""
    if isinstance(value, dict):
        return {name: escape_colons(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [escape_colons(each, key) for each in value]
    if isinstance(value, TextClause):
        return text(escape_colons(value.text, "sqltext"))
    if isinstance(value, str) and key in ("default", "sqltext"):
        return re.sub(r"(?<![:\w]):(?=\w+(?![:\w]))|(?<=\\):(?![:\w])", r"\:", value)
    return value


class SafeImpl(SQLiteImpl):
    """Alembic's operations on SQLite; it registers itself for the dialect."""

    __dialect__ = "sqlite"

    def __init__(self, *args: Any) -> None:
        """Prepare for tables that are rebuilt."""
        super().__init__(*args)
        self.rebuilt: list[Any] = []

    def render_ddl_sql_expr(self, expr: Any, *args: Any, **options: Any) -> str:
        """Render an expression into a revision, where it becomes a `text()` again."""
        rendered = super().render_ddl_sql_expr(expr, *args, **options)
        return (
            rendered if options.get("is_index") else escape_colons(rendered, "sqltext")
        )

    def prep_table_for_batch(self, batch_impl: Any, table: Table) -> None:
        """Store what the table is, and what a rebuild without any change makes of it."""
        names = {old: column.name for old, column in batch_impl.columns.items()}
        connection: Any = self.connection
        before = read_features(connection.exec_driver_sql, table.name)
        copy = Table(
            table.name,
            MetaData(),
            autoload_with=connection,
            listeners=[("column_reflect", self.autogen_column_reflect)],
        )
        for each in [*copy.constraints]:
            if isinstance(each, CheckConstraint) and not each.name:
                copy.constraints.remove(each)
        with closing(sqlite3.connect(":memory:")) as scratch:
            # A function of the application does not exist there.
            with suppress(sqlite3.Error):
                scratch.execute(str(CreateTable(copy).compile(connection)))
                for index in copy.indexes:
                    scratch.execute(str(CreateIndex(index).compile(connection)))
            copied = read_features(scratch.execute, table.name)
        self.rebuilt.append((table.name, {"": ""} | names, before, copied))


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
    """Fail a revision that changes more than it says, so that it is rolled back.

    Rebuilding a table keeps what SQLAlchemy can read, and silently loses the rest.

    Raises:
        CommandError: Something is lost, or a row refers to a missing one.
    """
    broken: set[str] | None = None
    harmless = re.compile(r"\s*(CREATE (TABLE|(UNIQUE )?INDEX)|SELECT|PRAGMA)\b", re.I)

    def on_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal broken
        if broken is None and not harmless.match(statement):
            broken = _broken_references(connection)

    impl: Any = context.get_context().impl
    impl.rebuilt.clear()
    event.listen(connection, "before_cursor_execute", on_statement)
    name = Path(revision.path).name if revision else "stamp"
    try:
        yield
    except DBAPIError as error:
        # The only loss that SQLite itself refuses, in words that name nothing.
        if generated := [
            f"{what} {table}.{column}"
            for table, _, before, _ in impl.rebuilt
            for column, what in before
            if what == "the generated column"
        ]:
            raise CommandError(
                f"{name}: a rebuilt table cannot keep {', '.join(generated)}"
                f" ({error.orig}); drop it first, and add it again after"
            ) from error
        _note_duplicates(connection, error)
        raise
    finally:
        event.remove(connection, "before_cursor_execute", on_statement)
    allowed = getattr(revision and revision.module, "allow_data_loss", ())
    if lost := [
        f"{what} of {owner}"
        for owner, what in _find_losses(connection, impl.rebuilt)
        if allowed is not True
        and {"*", owner, owner.partition(".")[0]}.isdisjoint(allowed)
    ]:
        raise CommandError(
            f"{name}: rebuilding a table would lose {', '.join(lost)}; create it again"
            " in the revision, or drop it there first if it is to go"
        )
    if broken is not None and (new := _broken_references(connection) - broken):
        raise CommandError(f"{name}: rows would refer to missing rows: {min(new)}")


def _note_duplicates(connection: Connection, error: DBAPIError) -> None:
    """Add the values that violate UNIQUE to an error that names only the columns."""
    failed = str(error.orig).partition("UNIQUE constraint failed: ")[2]
    names = [each.rpartition(".") for each in failed.split(", ")]
    table = names[0][0].removeprefix("_alembic_tmp_")
    unique = ops.CreateUniqueConstraintOp(None, table, [name[2] for name in names])
    if table and (values := find_duplicates(unique, connection)):
        error.add_note(f"equal values: {values}")
        error.add_note(SafeMigrationRunner.rollback_note)


def _find_losses(
    connection: Connection, rebuilt: list[Any]
) -> Iterator[tuple[str, str]]:
    """Describe, after its owner, what is not as it was, but as a rebuild makes it.

    An operation of the revision would make it different from both.
    """
    for table, names, before, copied in rebuilt:
        after = read_features(connection.exec_driver_sql, table)
        left = {column for column, _ in after}
        for (column, what), value in before.items():
            now = after.get((names.get(column), what))
            if names.get(column) in left and value != now == copied.get((column, what)):
                yield f"{table}.{column}".rstrip("."), f"{what} {value}".strip()


def read_features(
    execute: Callable[..., Any], table: str
) -> dict[tuple[str, str], str]:
    """Return the features of a table: values by column, "" for the table, and name."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for column, what, value in execute(FEATURES, (table,)).fetchall():
        found[column or "", what].append(normalize(value or ""))
    objects = execute(
        "SELECT iif(type = 'table', '', 'the ' || type || ' ' || name),"
        " iif(type = 'trigger', '', sql) FROM sqlite_master"
        " WHERE tbl_name = ? AND sql <> ''",
        (table,),
    )
    for name, sql in objects.fetchall():
        words = split_sql(sql)
        body = next((n for n, word in enumerate(words) if word[0] == "("), len(words))
        found["", name].append(" ".join(words[body + 1 :]))
        if not name:
            _read_definitions(words[body][1:-1], found)
    return {key: " ".join(sorted(values)) for key, values in found.items()}


def _read_definitions(sql: str, found: dict[tuple[str, str], list[str]]) -> None:
    """Add what no PRAGMA tells, from the columns and constraints of CREATE TABLE."""
    columns = {column for column, _ in found}
    owner = ""
    words = [",", *split_sql(sql), "", "", ""]
    for number, word in enumerate(words[:-3]):
        following, kind, check = words[number + 1 : number + 4]
        match word.upper():
            case ",":
                name = following.strip("\"'`[]")
                owner = name if name in columns else ""
            case "CONSTRAINT":
                name = following.strip("\"'`[]")
                check *= kind.upper() == "CHECK"
                found["", f"the constraint {name}"].append(check)
            case "CHECK" if words[number - 2].upper() != "CONSTRAINT":
                found[owner, "a CHECK without a name"].append(following)
            case "COLLATE" | "INITIALLY" as clause:
                found[owner, clause].append(following.upper())
            case "CONFLICT":
                found[owner, "ON CONFLICT"].append(following.upper())
            case "AUTOINCREMENT" | "DEFERRABLE" as clause:
                found["", clause].append("")


def split_sql(sql: str) -> list[str]:
    """Return the words of SQL; all that is in a pair of parentheses is one word."""
    words: list[str] = []
    depth = 0
    for word in SQL_WORD.findall(sql):
        if not word.startswith(("--", "/*")):
            words.append(f"{words.pop()} {word}" if depth else word)
            depth += (word == "(") - (word == ")")
    return words


def _broken_references(connection: Connection) -> set[str]:
    rows = connection.exec_driver_sql("PRAGMA foreign_key_check")
    return {f"{child} {row} -> {parent}" for child, row, parent, _ in rows}
