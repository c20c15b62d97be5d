"""Safety of migrations on PostgreSQL: lock, timeouts, retries, enums, indexes."""

import logging
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import alembic_postgresql_enum
from alembic import context
from alembic.autogenerate import comparators, renderers
from alembic.autogenerate.api import AutogenContext
from alembic.ddl.postgresql import CreateExcludeConstraintOp, PostgresqlImpl
from alembic.operations import Operations, ops
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError, DispatchPriority
from alembic_postgresql_enum.add_postgres_using_to_text import (
    PostgresUsingAlterColumnOp,
)
from alembic_postgresql_enum.operations.add_enum_values import AddEnumValuesOp
from alembic_postgresql_enum.operations.sync_enum_values import SyncEnumValuesOp
from sqlalchemy import (
    Column,
    Connection,
    DefaultClause,
    Enum,
    MetaData,
    Table,
    UniqueConstraint,
    event,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.dialects.postgresql.base import PGInspector
from sqlalchemy.exc import DBAPIError

from ..errors import sqlstate
from . import autogenerate, online
from .data_loss import is_other_family
from .differences import ChangeByHand
from .runner import MigrationRunner

RETRY_DELAYS_SECONDS = (1.0, 2.0, 4.0, 8.0)
"""Pauses between attempts when a table is in use."""

LOCK_TIMEOUT_SECONDS = 600
"""Time that a migration waits for another one to finish."""

LOCK_NAME = f"{__name__.partition('.')[0]}.migrations.lock"
"""Name of the advisory lock."""

LOCK_TIMEOUT, DEADLOCK = "55P03", "40P01"
"""SQLSTATEs after which the command is repeated."""

SQL_KEYS = ("default", "sqltext", "expressions", "postgresql_where")
"""Keys of reflected data whose values are SQL."""

MAY_CREATE = """
SELECT current_setting('transaction_read_only') = 'off'
AND has_database_privilege(current_database(), 'TEMPORARY')
"""
LOCK_HOLDERS = """
SELECT relname, pid, coalesce(usename, backend_type), mode, query_start
FROM pg_locks JOIN pg_class ON pg_class.oid = relation JOIN pg_stat_activity USING (pid)
WHERE granted AND pid <> pg_backend_pid() AND datname = current_database()
AND coalesce(xact_start, '-infinity') <= clock_timestamp() - make_interval(secs => :age)
ORDER BY mode = 'AccessShareLock', xact_start
"""
STORED = """
WITH probe AS (SELECT to_regclass('pg_temp.probe_') AS id)
SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef JOIN probe ON adrelid = id
UNION ALL SELECT CASE contype WHEN 'c' THEN substr(pg_get_constraintdef(oid, pretty), 7)
    ELSE pg_get_constraintdef(oid) END
FROM pg_constraint JOIN probe ON conrelid = id, (VALUES (true), (false)) AS form (pretty)
WHERE contype IN ('c', 'u', 'x')
"""

CONSTRAINTS = """
SELECT relname, conname, pg_get_constraintdef(c.oid)
FROM pg_constraint c JOIN pg_class r ON r.oid = conrelid
WHERE contype IN ('u', 'x') AND connamespace = to_regnamespace(:schema)
"""
ENUM_CHECKS = """
SELECT DISTINCT 'ALTER TABLE ' || conrelid::regclass, quote_ident(conname),
    pg_get_constraintdef(c.oid)
FROM pg_constraint c JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey)
JOIN pg_type t ON atttypid IN (t.oid, typarray)
WHERE contype = 'c' AND coninhcount = 0
AND typname = :name AND typnamespace = to_regnamespace(quote_ident(:schema))
"""

FILE = "SELECT pg_relation_filenode('pg_temp.probe_')"

logger = logging.getLogger("alembic.runner")


class SafeMigrationRunner(MigrationRunner):
    """Runner for PostgreSQL: one at a time, and never long in front of others."""

    # A value added to an enum can be used only after a COMMIT.
    options: ClassVar[dict[str, Any]] = {
        "transaction_per_migration": True,
        "render_item": lambda *arguments: render_item(*arguments),
        "process_revision_directives": lambda *arguments: warn_and_process(*arguments),
    }
    rollback_note = "nothing of this revision is left in the database"
    backup_hint = "pg_dump --format=custom --file=backup.dump"

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
        """Hold an advisory lock during the block, and limit each transaction.

        The lock belongs to a transaction on a second connection: on the migrating one it
        would end with the first revision, and a session lock would outlive us behind a
        pooler. It is polled, since waiting in one statement would deadlock with CREATE
        INDEX CONCURRENTLY.
        """
        # A statement that waits for a lock makes others wait, and one whose client was
        # killed would go on. The server on Windows cannot check for the latter.
        wait = f"{self.settings.database_lock_timeout * 1000:.0f}ms"
        limits = (
            # The last COMMIT waits for the disk, and with it for all before it.
            "SELECT set_config('synchronous_commit', 'off', true),"
            f" set_config('lock_timeout', '{wait}', true),"
            " CASE WHEN version() !~ 'mingw|Visual C' THEN"
            " set_config('client_connection_check_interval', '2s', true) END"
        )

        def limit(connection: Connection) -> None:
            if (
                connection.get_execution_options().get("isolation_level")
                != "AUTOCOMMIT"
            ):
                # Not through SQLAlchemy: this runs in each of many small transactions.
                connection.connection.cursor().execute(limits)

        name = func.hashtext(LOCK_NAME)
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        with connection.engine.connect() as guardian:
            while not guardian.scalar(select(func.pg_try_advisory_xact_lock(name))):
                # The other's CREATE INDEX CONCURRENTLY waits for our transaction.
                guardian.rollback()
                if time.monotonic() > deadline:
                    raise CommandError(
                        f"another migration has been running for {LOCK_TIMEOUT_SECONDS} s:"
                        " wait for it, or end it in pg_stat_activity"
                    )
                sleep(guardian, 0.2)
            guardian.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            event.listen(connection, "begin", limit)
            event.listen(
                connection, "before_cursor_execute", _bind_versions, retval=True
            )
            try:
                yield
            finally:
                event.remove(connection, "begin", limit)
                event.remove(connection, "before_cursor_execute", _bind_versions)
            guardian.execute(select(func.txid_current()))
            guardian.commit()

    def run_migrations(self, connection: Connection) -> None:
        """Run the command, and again when a table was in use."""
        types = (c.type for t in self.metadata.tables.values() for c in t.columns)
        declared = {
            getattr(getattr(kind, "item_type", kind), "name", None) for kind in types
        }
        alembic_postgresql_enum.set_configuration(
            alembic_postgresql_enum.Config(
                # Another program's type is not ours to drop.
                include_name=lambda name: name in declared
                or name in autogenerate.created_names(),
                # A different order is no reason to rewrite all tables.
                ignore_enum_values_order=True,
            )
        )
        for delay in RETRY_DELAYS_SECONDS:
            try:
                return super().run_migrations(connection)
            except CommandError as error:
                cause = error.__cause__
                state = sqlstate(getattr(cause, "orig", None))
                if state not in (LOCK_TIMEOUT, DEADLOCK):
                    raise
                statement = getattr(cause, "statement", None) or ""
            waited = 0 if state == DEADLOCK else self.settings.database_lock_timeout
            reason = "deadlock" if state == DEADLOCK else "a table is in use"
            holder = describe_lock_holder(connection, statement, waited)
            logger.warning("%s%s; retrying in %g s", reason, holder, delay)
            sleep(connection, delay)
        return super().run_migrations(connection)

    def defaults_equal(
        self, connection: Connection, column: Column[Any], found: str, wanted: str
    ) -> bool:
        """Return whether two defaults are the same to the server."""
        kind = column.type.compile(connection.dialect)
        definition = f"default_ {kind} DEFAULT (EXPRESSION)"
        return self.is_stored_as(
            str(text(found)), wanted, definition, f"the default of {column}", _plain
        )

    def expressions_equal(
        self, found: str, wanted: str, table: Table, name: str
    ) -> bool:
        """Return whether two CHECKs or predicates are the same to the server."""
        preparer = context.get_bind().dialect.identifier_preparer
        definition = f"LIKE {preparer.format_table(table)}, CHECK (EXPRESSION)"
        return self.is_stored_as(found, wanted, definition, name, _bare)

    def computed_equal(self, found: str, wanted: str, column: Column[Any]) -> bool:
        """Return whether two expressions of a computed column are the same."""
        dialect = context.get_bind().dialect
        definition = (
            f"LIKE {dialect.identifier_preparer.format_table(column.table)},"
            f" computed_ {column.type.compile(dialect)}"
            " GENERATED ALWAYS AS (EXPRESSION) STORED"
        )
        return self.is_stored_as(found, wanted, definition, str(column), _bare)

    @cached_property
    def _may_create_temporary_tables(self) -> bool:
        # An attempt would fail as on a server that is gone, which ends the connection.
        return bool(context.get_bind().exec_driver_sql(MAY_CREATE).scalar())

    def is_stored_as(
        self,
        found: str,
        wanted: str,
        definition: str,
        name: str,
        clean: Callable[[str], str],
    ) -> bool:
        """Return whether the server stores an expression as the one that was found.

        It writes an expression in its own words when a table is created, and does not
        run it. A dump that was restored has these words rewritten once more.
        """
        connection = context.get_bind()
        written: Sequence[str] = [wanted]
        for _ in range(2):
            if clean(found) in map(clean, written):
                return True
            if not self._may_create_temporary_tables:
                logger.warning("not compared by a read-only role or server: %s", name)
                return True
            columns = definition.replace("EXPRESSION", written[0])
            with connection.begin_nested() as savepoint:
                try:
                    connection.exec_driver_sql(f"CREATE TEMP TABLE probe_ ({columns})")
                    written = connection.exec_driver_sql(STORED).scalars().all()
                except DBAPIError:
                    # An enum without the value, or no such column, so far.
                    return False
                finally:
                    savepoint.rollback()
        return clean(found) in map(clean, written)

    def rewrites(self, op: Any, change: str) -> bool:
        """Return whether ALTER TABLE would rewrite all rows; true if nothing tells.

        The server gives the table another file then, also an empty copy of it.
        """
        if not self._may_create_temporary_tables:
            return True
        connection = context.get_bind()
        names = connection.dialect.identifier_preparer
        table = names.format_table(Table(op.table_name, MetaData(), schema=op.schema))
        with connection.begin_nested() as savepoint:
            try:
                connection.exec_driver_sql(f"CREATE TEMP TABLE probe_ (LIKE {table})")
                before = connection.exec_driver_sql(FILE).scalar()
                connection.exec_driver_sql(f"ALTER TABLE pg_temp.probe_ {change}")
                return before != connection.exec_driver_sql(FILE).scalar()
            except DBAPIError:
                return True
            finally:
                savepoint.rollback()


def warn_and_process(
    context: MigrationContext, revision: Any, scripts: list[ops.MigrationScript]
) -> None:
    """Process a new revision, and warn of what blocks others."""
    autogenerate.process_revision_directives(context, revision, scripts)
    for script in scripts:
        assert script.upgrade_ops is not None
        for line in online.describe_blocking(script.upgrade_ops, context):
            logger.warning(line)


@comparators.dispatch_for("table", priority=DispatchPriority.LAST)
def compare_constraints(
    context: AutogenContext,
    changes: ops.ModifyTableOps,
    schema: str | None,
    name: str,
    found_table: Table | None,
    wanted_table: Table | None,
) -> None:
    """Find exclusion constraints that have changed, and UNIQUE that became deferrable."""
    if found_table is None or wanted_table is None:
        return
    dialect: Any = context.dialect
    inspector: Any = context.inspector
    key = f"{__name__} {schema}"
    if key not in inspector.info_cache:
        options = {"schema": schema or dialect.default_schema_name}
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for table, constraint, sql in inspector.bind.execute(
            text(CONSTRAINTS), options
        ):
            found[table][constraint] = sql
        inspector.info_cache[key] = found
    wanted = {
        str(each.name): each
        for each in wanted_table.constraints
        if isinstance(each, UniqueConstraint | ExcludeConstraint) and each.name
    }
    compiler = dialect.ddl_compiler(dialect, None)
    definition = (
        f"LIKE {dialect.identifier_preparer.format_table(wanted_table)}, EXPRESSION"
    )
    runner = (context.opts or {})["runner"]
    dropped = {getattr(op, "constraint_name", None) for op in changes.ops}
    for constraint, found_sql in inspector.info_cache[key].get(name, {}).items():
        place = f"{wanted_table.fullname}.{constraint}"
        new = wanted.pop(constraint, None)
        new_sql = None if new is None else compiler.process(new)
        if constraint in dropped or (new is None and found_sql.startswith("UNIQUE")):
            continue
        if new is None or not runner.is_stored_as(
            found_sql, new_sql, definition, place, str.strip
        ):
            changes.ops.append(ChangeByHand(place, new_sql, found_sql))
    for new in wanted.values():
        if isinstance(new, ExcludeConstraint):
            changes.ops.append(CreateExcludeConstraintOp.from_constraint(new))


class EscapingInspector(PGInspector):
    """Reflects SQL with its colons escaped, since SQLAlchemy makes it a `text()`."""

    def get_multi_columns(self, *args: Any, **options: Any) -> Any:
        """Escape defaults and computed columns."""
        return escape_colons(super().get_multi_columns(*args, **options))

    def get_multi_check_constraints(self, *args: Any, **options: Any) -> Any:
        """Escape CHECK constraints."""
        return escape_colons(super().get_multi_check_constraints(*args, **options))

    def get_multi_indexes(self, *args: Any, **options: Any) -> Any:
        """Escape predicates and expressions."""
        return escape_colons(super().get_multi_indexes(*args, **options))

    def get_indexes(self, *args: Any, **options: Any) -> Any:
        """Escape predicates and expressions."""
        return escape_colons(super().get_indexes(*args, **options))


def escape_colons(value: Any, key: str = "") -> Any:
    """Escape the colons that `text()` would take for parameters, also in reflected data."""
    if isinstance(value, dict):
        return {name: escape_colons(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [escape_colons(each, key) for each in value]
    if isinstance(value, str) and key in SQL_KEYS:
        return re.sub(r"(?<![:\w]):(?=\w+(?![:\w]))|(?<=\\):(?![:\w])", r"\:", value)
    return value


class SafeImpl(PostgresqlImpl):
    """Alembic's operations on PostgreSQL; it registers itself for the dialect."""

    __dialect__ = "postgresql"

    def render_ddl_sql_expr(self, expr: Any, *args: Any, **options: Any) -> str:
        """Render an expression into a revision, where it becomes a `text()` again."""
        rendered = super().render_ddl_sql_expr(expr, *args, **options)
        return (
            rendered if options.get("is_index") else escape_colons(rendered, "sqltext")
        )


def describe_lock_holder(connection: Connection, statement: str, waited: float) -> str:
    """Describe who holds a lock on a table of a failed statement, "" if none is known.

    After the failure we wait no more, and `pg_blocking_pids` is empty. This is
    the oldest transaction with such a lock, a reader's last, that is at least as old as
    the wait: the likely cause. A role without `pg_read_all_stats` sees no time of others.
    """
    with connection.begin():
        holders = connection.execute(text(LOCK_HOLDERS), {"age": waited}).all()
    for table, pid, user, mode, started in holders:
        if re.search(rf"(?<!\w){re.escape(table)}(?!\w)", statement):
            since = f", its query started at {started:%H:%M:%S %Z}" if started else ""
            return f": {table}, {mode} of {user} with pid {pid}{since}"
    return ""


def sleep(connection: Connection, seconds: float) -> None:
    """Wait on the server, which does not hold up an event loop."""
    with connection.begin():
        connection.execute(select(func.pg_sleep(seconds)))


def _bind_versions(
    _connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any
) -> tuple[str, Any]:
    """Replace the ids in Alembic's statement by parameters: it is prepared only once."""
    if statement.startswith("UPDATE alembic_version "):
        # SQLAlchemy drops statements prepared before a table changed; keep this one.
        cursor._invalidate_schema_cache_asof = 0
        ids = re.findall(r"'(\w+)'", statement)
        return re.sub(r"'\w+'", "{}", statement).format("$1", "$2"), tuple(ids)
    return statement, parameters


def _bare(sql: str) -> str:
    """Return an expression without the parentheses around it."""
    return sql.strip("() \n")


def _without_cast(default: str) -> str:
    """Return a server default without the cast that the server adds."""
    return re.sub(r"::[\w\s\".\[\]]+(\(\d+\))?$", "", default).strip("()")


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Render a native enum, whose type the revision creates by itself.

    The library adds `create_type=False` to a text that may have it already.
    """
    if kind != "type" or not isinstance(item, Enum) or not item.native_enum:
        return autogenerate.render_item(kind, item, context)
    context.imports.add("from sqlalchemy.dialects import postgresql")
    values = ", ".join(map(repr, item.enums))
    schema = f", schema={item.schema!r}" if item.schema else ""
    return f"postgresql.ENUM({values}, name={item.name!r}{schema}, create_type=False)"


def _plain(default: str) -> str:
    """Return a server default without any cast and quotes around it."""
    while default != (default := _bare(_without_cast(default))):
        pass
    return default.strip("'")


render_alteration: Callable[[AutogenContext, Any], str]
render_alteration = renderers.dispatch(ops.AlterColumnOp("", ""))


@renderers.dispatch_for(PostgresUsingAlterColumnOp, replace=True)
@renderers.dispatch_for(ops.AlterColumnOp, replace=True)
def render_altered_type(context: AutogenContext, change: Any) -> str | list[str]:
    """Write USING, and a detour for the default, where the server has no cast itself."""
    assert context.dialect is not None
    if change.modify_type is None or not is_other_family(change, context.dialect):
        return render_alteration(context, change)
    column = context.dialect.identifier_preparer.quote(change.column_name)
    # One enum is cast to another by its text.
    text_first = "::text" if isinstance(change.existing_type, Enum) else ""
    using = f"{column}{text_first}::{change.modify_type.compile(context.dialect)}"

    def set_default(default: Any) -> str:
        name = (change.table_name, change.column_name)
        only = ops.AlterColumnOp(
            *name, schema=change.schema, modify_server_default=default
        )
        return render_alteration(context, only)

    default, old = change.modify_server_default, change.existing_server_default
    new = copy(change)
    new.modify_server_default, new.existing_server_default = False, None
    lines = [f"{render_alteration(context, new)[:-1]}, postgresql_using={using!r})"]
    if old:
        lines.insert(0, set_default(None))
    if default is False and old:
        default = DefaultClause(text(_without_cast(old.arg.text)))
    if default:
        lines.append(set_default(default))
    return lines


@renderers.dispatch_for(AddEnumValuesOp, replace=True)
def render_added_values(_context: AutogenContext, change: Any) -> list[str]:
    """Write what adds values to an enum, each at its place.

    The library puts a value that belongs in the middle elsewhere, and quotes none.
    """
    lines = []
    place = f"BEFORE {_literal(change.old_values[0])}" if change.old_values else ""
    for value in change.new_values:
        if value not in change.old_values:
            statement = f'ALTER TYPE "{change.schema}"."{change.name}"'
            statement += f" ADD VALUE {_literal(value)} {place}".rstrip()
            lines.append(f"op.execute({escape_colons(statement, 'sqltext')!r})")
        place = f"AFTER {_literal(value)}"
    return lines


@Operations.register_operation("sync_enum_values")
class SafeSyncEnumValues:
    """Operation that does what the library leaves out: quotes, and CHECKs of the enum."""

    @classmethod
    def sync_enum_values(
        cls,
        operations: Operations,
        enum_schema: str,
        enum_name: str,
        new_values: Sequence[str],
        affected_columns: Sequence[Any],
        **options: Any,
    ) -> None:
        """Replace the values of an enum, with its CHECKs dropped and created again."""
        columns: Any = []
        for column in affected_columns:
            if default := getattr(column, "existing_server_default", None):
                # The library takes the first two colons for the cast.
                value, *cast = default.rpartition("::")
                default = value.replace(":", "\\:") + "".join(cast)
                column = replace(column, existing_server_default=default)
            columns.append(column)
        values = [_literal(value)[1:-1].replace(":", "\\:") for value in new_values]
        connection = operations.get_bind()
        names = {"schema": enum_schema, "name": enum_name}
        checks: Sequence[Any] = ()
        if not operations.get_context().as_sql:
            checks = connection.execute(text(ENUM_CHECKS), names).all()
        for table, name, _ in checks:
            connection.exec_driver_sql(f"{table} DROP CONSTRAINT {name}")
        SyncEnumValuesOp.sync_enum_values(
            operations, enum_schema, enum_name, values, columns, **options
        )
        for table, name, definition in checks:
            connection.exec_driver_sql(f"{table} ADD CONSTRAINT {name} {definition}")


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
