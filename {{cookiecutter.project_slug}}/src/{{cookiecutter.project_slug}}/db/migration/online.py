"""Changes of large tables while others read and write them.

A helper commits after each step, so no lock outlives its step, and each of them can be
repeated: let a revision that calls helpers do nothing else. A step that takes a lock waits
for `DATABASE_LOCK_TIMEOUT` seconds at most.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from alembic_postgresql_enum.operations.sync_enum_values import SyncEnumValuesOp
from sqlalchemy.exc import DBAPIError

from .data_loss import qualified

INDEX_IS_VALID = """
SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid = to_regclass(:table) AND relname = :name
"""
CONSTRAINT_IS_VALID = """
SELECT convalidated FROM pg_constraint
WHERE conrelid = to_regclass(:table) AND conname = :name
"""
COLUMN_IS_NOT_NULL = """
SELECT attnotnull FROM pg_attribute
WHERE attrelid = to_regclass(:table) AND attname = :name
"""

ALL = "blocks readers and writers (ACCESS EXCLUSIVE lock) while it"
READ, REWRITE = f"{ALL} reads all rows", f"{ALL} rewrites all rows"
QUIET = "run it while nothing uses the table"
LATER = "set the default in a later revision, then call online.backfill"
COPY = "add a column of that type, call online.backfill, drop this"
BLOCKING = {
    ops.CreateIndexOp: (
        "CREATE INDEX blocks writers (SHARE lock) while it reads all rows",
        "call online.create_index_concurrently",
    ),
    ops.CreateForeignKeyOp: (
        "FOREIGN KEY blocks writers of both tables (SHARE ROW EXCLUSIVE lock) while it"
        " reads all rows",
        "call online.add_foreign_key",
    ),
    ops.CreateCheckConstraintOp: (f"CHECK {READ}", "call online.add_check"),
    ops.CreateUniqueConstraintOp: (
        f"UNIQUE {READ}",
        "call online.create_index_concurrently(…, unique=True), then"
        " op.execute('ALTER TABLE … ADD CONSTRAINT … UNIQUE USING INDEX …')",
    ),
    CreateExcludeConstraintOp: (f"EXCLUDE {READ}", QUIET),
}
"""Operations that block others, and what to do instead.

https://www.postgresql.org/docs/current/sql-altertable.html
"""

logger = logging.getLogger("alembic.runner")


def create_index_concurrently(
    name: str,
    table: str,
    columns: Sequence[str],
    *,
    schema: str | None = None,
    **options: Any,
) -> None:
    """Create an index; a valid one is kept, an invalid one is dropped and built again.

    Lock: SHARE UPDATE EXCLUSIVE, which blocks other changes of the schema only.

    Args:
        name: The index.
        table: The table.
        columns: The columns.
        schema: The schema of both.
        options: Arguments of `op.create_index`.
    """
    valid = _look_up(INDEX_IS_VALID, name, table, schema)
    if valid:
        return
    if valid is not None:
        drop_index_concurrently(name, table, schema=schema)
    with (
        op.get_context().autocommit_block(),
        _leaving(
            f"an invalid index {name} may be left, which serves no query: fix the cause"
            " and repeat the upgrade, which builds it again, or give it up:"
            f" DROP INDEX CONCURRENTLY IF EXISTS {_quote(name, schema)}"
        ),
    ):
        op.create_index(
            name,
            table,
            list(columns),
            schema=schema,
            postgresql_concurrently=True,
            **options,
        )


def drop_index_concurrently(
    name: str, table: str, *, schema: str | None = None
) -> None:
    """Drop an index, if it exists.

    Lock: SHARE UPDATE EXCLUSIVE, which blocks other changes of the schema only.
    """
    with op.get_context().autocommit_block():
        op.drop_index(
            name, table, schema=schema, postgresql_concurrently=True, if_exists=True
        )


def add_foreign_key(
    name: str,
    table: str,
    referent: str,
    columns: Sequence[str],
    referent_columns: Sequence[str],
    *,
    schema: str | None = None,
    **options: Any,
) -> None:
    """Add a foreign key, then validate it; a valid one of this name is kept.

    Lock: SHARE ROW EXCLUSIVE on both tables, which blocks writers, for a moment. Then
    SHARE UPDATE EXCLUSIVE and ROW SHARE while rows are read, which block no writer.

    Args:
        name: The constraint, as the database stores it.
        table: The table that refers.
        referent: The table that is referred to.
        columns: The columns of `table`.
        referent_columns: The columns of `referent`.
        schema: The schema of `table`; `referent_schema` is one of the options.
        options: Arguments of `op.create_foreign_key`.
    """

    def create() -> None:
        op.create_foreign_key(
            *(op.f(name), table, referent, list(columns), list(referent_columns)),
            source_schema=schema,
            postgresql_not_valid=True,
            **options,
        )

    _add_and_validate(create, name, table, schema)


def add_check(
    name: str,
    table: str,
    condition: str | sa.ColumnElement[bool],
    *,
    schema: str | None = None,
) -> None:
    """Add a CHECK, then validate it; a valid one of this name is kept.

    Lock: ACCESS EXCLUSIVE for a moment. Then SHARE UPDATE EXCLUSIVE while rows are read,
    which blocks neither readers nor writers.

    Args:
        name: The constraint, as the database stores it.
        table: The table.
        condition: SQL, or an expression.
        schema: The schema of the table.
    """

    def create() -> None:
        op.create_check_constraint(
            op.f(name), table, condition, schema=schema, postgresql_not_valid=True
        )

    _add_and_validate(create, name, table, schema)


def set_not_null(table: str, column: str, *, schema: str | None = None) -> None:
    """Make a column NOT NULL; one that is so already is left alone.

    A validated CHECK saves SET NOT NULL from reading all rows, and is dropped with it.

    Lock: ACCESS EXCLUSIVE for a moment, twice. Between them SHARE UPDATE EXCLUSIVE while
    rows are read, which blocks neither readers nor writers.
    """
    if _look_up(COLUMN_IS_NOT_NULL, column, table, schema):
        return
    name = f"not_null_{column}"[:63]
    add_check(name, table, sa.column(column).is_not(None), schema=schema)
    op.alter_column(table, column, nullable=False, schema=schema)
    op.drop_constraint(op.f(name), table, schema=schema)
    _commit()


def backfill(
    table: str,
    values: Mapping[str, Any],
    *,
    where: sa.ColumnElement[bool] | sa.TextClause | None = None,
    batch: int = 10_000,
    pause: float = 0.0,
    schema: str | None = None,
) -> None:
    """Update rows in ranges of the primary key, each in a transaction.

    After a kill it goes on if `where` selects only rows that are left, such as those where
    a column is NULL. Without it, each run updates all rows. A row that others add below the
    current range is missed: first let the application write the new value by itself.

    Lock: ROW EXCLUSIVE, and the rows of one range, which blocks only who writes them.

    Args:
        table: The table, whose primary key is one column.
        values: Values or expressions, by column.
        where: The rows; all by default.
        batch: Rows of a range.
        pause: Seconds between ranges, for replicas and vacuum.
        schema: The schema of the table.
    """
    target = sa.table(table, *map(sa.column, values), schema=schema)
    conditions: list[Any] = [] if where is None else [where]
    if op.get_context().as_sql:
        literals = {
            name: value if isinstance(value, sa.ClauseElement) else sa.literal(value)
            for name, value in values.items()
        }
        op.execute(target.update().values(literals).where(*conditions))
        return
    _commit()
    connection = op.get_bind()
    primary_key = sa.inspect(connection).get_pk_constraint(table, schema=schema)
    columns = primary_key["constrained_columns"]
    if len(columns) != 1:
        raise CommandError(f"backfill: {table} has no primary key of one column")
    key: sa.ColumnElement[Any] = sa.column(columns[0])
    rows = sa.select(key).select_from(target).where(*conditions)
    total = connection.scalar(sa.select(sa.func.count()).select_from(rows.subquery()))
    done, last = 0, None
    while True:
        part = conditions if last is None else [*conditions, key > last]
        rows = sa.select(key).select_from(target).where(*part).order_by(key)
        last = connection.scalar(rows.offset(batch - 1).limit(1))
        if last is not None:
            part = [*part, key <= last]
        update = target.update().values(dict(values)).where(*part)
        done += connection.execute(update).rowcount
        _commit()
        percent = 100 * done // max(total or 0, done, 1)
        logger.info("%s: %d of %d rows (%d %%)", table, done, total, percent)
        if last is None:
            return
        connection.execute(sa.select(sa.func.pg_sleep(pause)))


def describe_blocking(
    found: ops.UpgradeOps, context: MigrationContext
) -> Iterator[str]:
    """Describe the operations that block users of a table that exists, and the recipe.

    A table that is empty here may be large in production.
    """
    tables = (each for each in found.ops if isinstance(each, ops.CreateTableOp))
    created = {qualified(each.schema, each.table_name) for each in tables}
    for each in found.ops:
        lines: list[tuple[str, Any, str, str]] = []
        if isinstance(each, ops.ModifyTableOps):
            table = qualified(each.schema, each.table_name)
            for change in each.ops:
                lines += [(table, *line) for line in _find_blocking(change, context)]
        elif isinstance(each, SyncEnumValuesOp):
            columns = each.affected_columns
            what = f"ALTER TYPE {REWRITE}"
            lines = [(c.table_name, c.column_name, what, QUIET) for c in columns]
        for table, name, what, recipe in lines:
            if table not in created:
                yield (
                    f"{qualified(table, name)}: {what}. If the table is large, {recipe}:"
                    " docs/migrations.md"
                )


def _find_blocking(
    change: Any, context: MigrationContext
) -> Iterator[tuple[Any, str, str]]:
    """Yield the name of what changes, whom that blocks, and the recipe."""
    dialect: Any = context.dialect
    rewrites = context.opts["runner"].rewrites
    match change:
        case ops.AddColumnOp(column=column) if column.server_default is not None:
            sql = dialect.ddl_compiler(dialect, None).get_column_specification(column)
            # The type of an enum may be new, and its default is a constant.
            if not isinstance(column.type, sa.Enum) and rewrites(change, f"ADD {sql}"):
                fixed = isinstance(column.server_default, sa.Computed | sa.Identity)
                yield column.name, f"ADD COLUMN {REWRITE}", QUIET if fixed else LATER
        case ops.AlterColumnOp(column_name=name, modify_type=new):
            sql = new and f"TYPE {new.compile(dialect)}"
            column = dialect.identifier_preparer.quote(name)
            if sql and rewrites(change, f"ALTER {column} {sql}"):
                yield name, f"{sql} {REWRITE}", COPY
            if change.modify_nullable is False:
                yield name, f"SET NOT NULL {READ}", "call online.set_not_null"
        case _ if type(change) in BLOCKING:
            yield change.to_diff_tuple()[1].name, *BLOCKING[type(change)]


def _add_and_validate(
    create: Callable[[], None], name: str, table: str, schema: str | None
) -> None:
    """Add a constraint as NOT VALID, and validate it in another transaction.

    One that a failed attempt left is replaced: the revision may have been corrected.
    """
    valid = _look_up(CONSTRAINT_IS_VALID, name, table, schema)
    if valid:
        return
    if valid is not None:
        op.drop_constraint(op.f(name), table, schema=schema)
    create()
    _commit()
    where = _quote(table, schema)
    with _leaving(
        f"the constraint {name} is left for new rows: fix the old ones and repeat the"
        f" upgrade, or give it up: ALTER TABLE {where} DROP CONSTRAINT {_quote(name)}"
    ):
        validate = f"ALTER TABLE {where} VALIDATE CONSTRAINT {_quote(name)}"
        op.execute(validate.replace(":", "\\:"))
    _commit()


def _commit() -> None:
    """Commit the steps so far; the next transaction has a lock timeout again."""
    with op.get_context().autocommit_block():
        pass


def _look_up(query: str, name: str, table: str, schema: str | None) -> bool | None:
    """Return what the catalog says of a part of a table, None without it or offline."""
    if op.get_context().as_sql:
        return None
    names = {"name": name, "table": _quote(table, schema)}
    found: bool | None = op.get_bind().scalar(sa.text(query), names)
    return found


def _quote(name: str, schema: str | None = None) -> str:
    """Return a name in SQL."""
    preparer = op.get_context().dialect.identifier_preparer
    return preparer.format_table(sa.table(name, schema=schema))


@contextmanager
def _leaving(state: str) -> Iterator[None]:
    """Add to an error of the block what is left in the database."""
    try:
        yield
    except DBAPIError as error:
        error.add_note(state)
        raise
