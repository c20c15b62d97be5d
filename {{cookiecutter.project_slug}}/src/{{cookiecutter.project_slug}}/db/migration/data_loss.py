"""Data loss: operations that may lose values, refused unless the command names them."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from math import inf
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic import context
from alembic.operations import Operations, ops, toimpl
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

SWITCH = "allow-data-loss"
"""Name of the `-x` argument that says what may be lost."""


class Loss(NamedTuple):
    """An operation that may lose values, or fail on rows that exist.

    Attributes:
        name: The table, or the column as `table.column`.
        reason: What happens, and the recipe that avoids it.
    """

    name: str
    reason: str


def accept(losses: Iterable[Loss], command: str) -> list[str]:
    """Return the names of losses that the command allows.

    Args:
        losses: What the command would lose.
        command: Alembic's command, for the message.

    Raises:
        CommandError: It does not allow some of them.
    """
    losses = list(losses)
    given = [*context.config.attributes.get("allow_data_loss", ())]
    for argument in context.get_x_argument():
        name, _, names = argument.partition("=")
        if name == SWITCH:
            if not names:
                raise CommandError(
                    f"-x {SWITCH} names nothing: -x {SWITCH}=table,table.column,"
                    " or =* for all"
                )
            given += [each.strip() for each in names.split(",")]
    refused = [
        loss
        for loss in losses
        if not any(fnmatchcase(loss.name, pattern) for pattern in given)
    ]
    if refused:
        names = ",".join(dict.fromkeys(loss.name for loss in refused))
        raise CommandError(
            "; ".join(f"{loss.name}: {loss.reason}" for loss in refused)
            + f". Nothing was changed. To accept it: alembic -x {SWITCH}={names} {command}"
        )
    return sorted({loss.name for loss in losses})


def find(
    found: Iterable[ops.MigrateOperation], connection: sa.Connection
) -> Iterator[Loss]:
    """Find the operations of a new revision that lose values, or fail on rows."""
    found = list(found)
    created = [op for op in found if isinstance(op, ops.CreateTableOp)]
    new = {qualified(op.schema, op.table_name) for op in created}
    for op in found:
        if isinstance(op, ops.ModifyTableOps):
            if qualified(op.schema, op.table_name) not in new:
                yield from _find_in_table(op, connection)
        elif isinstance(op, ops.DropTableOp):
            columns = {column.name for column in op.to_table().columns}
            like = [
                new.table_name
                for new in created
                if columns == {c.name for c in new.columns if isinstance(c, sa.Column)}
            ]
            yield Loss(
                qualified(op.schema, op.table_name),
                "the table would be dropped with its rows"
                + (
                    f" (renamed? write an empty revision with"
                    f" op.rename_table({op.table_name!r}, {like[0]!r}))"
                    if like
                    else ""
                ),
            )


def _find_in_table(
    table: ops.ModifyTableOps, connection: sa.Connection
) -> Iterator[Loss]:
    dialect = connection.dialect
    added = [op.column for op in table.ops if isinstance(op, ops.AddColumnOp)]
    for op in table.ops:
        if isinstance(op, ops.DropColumnOp):
            dropped = op.to_column()
            like = [
                new.name
                for new in added
                if _capacity(new.type, dialect)[0]
                == _capacity(dropped.type, dialect)[0]
            ]
            yield Loss(
                qualified(table.schema, table.table_name, op.column_name),
                "the column would be dropped with its data"
                + (
                    f" (renamed? write an empty revision with op.alter_column("
                    f"{table.table_name!r}, {op.column_name!r},"
                    f" new_column_name={like[0]!r}))"
                    if like
                    else ""
                ),
            )
        # `server_default` is also where SQLAlchemy keeps Identity and Computed.
        elif isinstance(op, ops.AddColumnOp) and not (
            op.column.nullable or op.column.server_default
        ):
            yield Loss(
                qualified(table.schema, table.table_name, op.column.name),
                "NOT NULL without a default fails on existing rows"
                " (add server_default, or add it nullable, backfill, then tighten)",
            )
        elif isinstance(op, ops.AlterColumnOp):
            name = qualified(table.schema, table.table_name, op.column_name)
            if op.modify_nullable is False:
                yield Loss(
                    name,
                    "NOT NULL fails on rows without a value"
                    " (write an empty revision that fills them first:"
                    " docs/migrations.md#not-null)",
                )
            if change := narrowing(op, dialect):
                yield Loss(
                    name,
                    f"{change} may lose values (add a column of the new type, copy,"
                    " compare, drop the old one: docs/migrations.md)",
                )
        elif isinstance(op, ops.CreateUniqueConstraintOp | ops.CreateIndexOp):
            if values := find_duplicates(op, connection):
                unique: Any = op.to_diff_tuple()[1]
                yield Loss(
                    qualified(table.schema, table.table_name, unique.name),
                    f"UNIQUE fails on rows with equal values: {values} (delete or merge"
                    " them first, in an empty revision)",
                )


def find_duplicates(
    op: ops.CreateUniqueConstraintOp | ops.CreateIndexOp, connection: sa.Connection
) -> str:
    """Describe values that a unique constraint or index would refuse, three at most.

    None are known of a column that the database does not have yet.
    """
    if isinstance(op, ops.CreateIndexOp) and not op.unique:
        return ""
    names = (each for each in op.columns if isinstance(each, str))
    table = sa.table(op.table_name, *map(sa.column, names), schema=op.schema)
    known: Any = table.c

    def sql(part: Any) -> sa.ColumnElement[Any]:
        # With its table: a name that is no column may be read as a text.
        part = known.get(part, sa.text(part)) if isinstance(part, str) else part
        options = {"literal_binds": True}
        return sa.literal_column(str(part.compile(connection, compile_kwargs=options)))

    columns = [sql(each) for each in op.columns]
    count = sa.func.count()
    query = sa.select(count, *columns).select_from(table).group_by(*columns)
    dialect = connection.dialect.name
    if not op.kw.get(f"{dialect}_nulls_not_distinct"):
        query = query.where(*(each.is_not(None) for each in columns))
    if (predicate := op.kw.get(f"{dialect}_where")) is not None:
        query = query.where(sql(predicate))
    query = query.having(count > 1).order_by(count.desc()).limit(3)
    with suppress(DBAPIError), connection.begin_nested():
        return ", ".join(
            f"({', '.join(f'{value!s:.60}' for value in values)}) in {rows} rows"
            for rows, *values in connection.execute(query)
        )
    return ""


def qualified(*parts: str | None) -> str:
    """Join schema, table and column to a name."""
    return ".".join(part for part in parts if part)


def narrowing(op: ops.AlterColumnOp, dialect: sa.Dialect) -> str | None:
    """Describe the change of a type that may not keep each value; None if there is none.

    A type that is wider in every respect keeps them: more digits, more characters. One
    of another kind does not: cast to a number, a text may become 0 and a date its year.
    """
    old, new = op.existing_type, op.modify_type
    if old is None or new is None:
        return None
    family, *sizes = _capacity(old, dialect)
    new_family, *new_sizes = _capacity(new, dialect)
    if family == new_family and all(
        size <= new_size for size, new_size in zip(sizes, new_sizes, strict=True)
    ):
        return None
    return f"{old.compile(dialect)} to {new.compile(dialect)}"


def is_other_family(op: ops.AlterColumnOp, dialect: sa.Dialect) -> bool:
    """Return whether a column's new type holds another kind of values."""
    families = {
        _capacity(kind, dialect)[0] for kind in (op.existing_type, op.modify_type)
    }
    return len(families) > 1


def compare_type(
    context: Any, _inspected: Any, _column: Any, found: Any, wanted: Any
) -> bool | None:
    """Find a changed length or precision, which Alembic does not compare everywhere.

    Returns:
        True if it has changed; None to let Alembic compare the rest.
    """
    family, *sizes = _capacity(found, context.dialect)
    new_family, *new_sizes = _capacity(wanted, context.dialect)
    sized = family is new_family and family in (sa.String, sa.Numeric)
    return True if sized and sizes != new_sizes else None


def _capacity(kind: Any, dialect: sa.Dialect) -> tuple[Any, ...]:
    """Return the kind of values that a type holds, and its sizes."""
    while isinstance(kind, sa.TypeDecorator):
        kind = kind.load_dialect_impl(dialect)
    match kind:
        case sa.types.NullType():
            return (sa.types.NullType,)
        case sa.SmallInteger():
            return (sa.Integer, 2)
        case sa.BigInteger():
            return (sa.Integer, 8)
        case sa.Integer():
            return (sa.Integer, 4)
        case sa.String() if not (
            dialect.supports_native_enum and getattr(kind, "native_enum", False)
        ):
            return (sa.String, kind.length or inf)
        case sa.Float():
            return (sa.Float, 24 if isinstance(kind, sa.REAL) else 53)
        case sa.Numeric(precision=int(precision)):
            return (sa.Numeric, precision - (kind.scale or 0), kind.scale or 0)
        case sa.Numeric():
            return (sa.Numeric, inf, inf)
    return (kind.compile(dialect),)


def refuse_unless_empty(
    operations: Operations, table: str, column: str | None, schema: str | None, why: str
) -> None:
    """Refuse a step back that deletes values, unless the command names them.

    Raises:
        CommandError: There are values, and the command does not name them.
    """
    migration = operations.migration_context
    if migration.as_sql or not migration.opts.get("downgrading"):
        return
    source = sa.table(table, schema=schema)
    query = sa.select(sa.literal(1)).select_from(source).limit(1)
    if column is not None:
        query = query.where(sa.column(column).is_not(None))
    bind = operations.get_bind()
    if sa.inspect(bind).has_table(table, schema=schema) and bind.scalar(query):
        revision = getattr(context.config.cmd_opts, "revision", "…")
        loss = Loss(qualified(schema, table, column), why)
        accept([loss], f"downgrade {revision}")


@Operations.implementation_for(ops.DropTableOp, replace=True)
def drop_table(operations: Operations, op: ops.DropTableOp) -> None:
    """Drop a table; on the way down only if it is empty, or named."""
    why = "the table would be dropped with its rows"
    refuse_unless_empty(operations, op.table_name, None, op.schema, why)
    toimpl.drop_table(operations, op)


@Operations.implementation_for(ops.DropColumnOp, replace=True)
def drop_column(operations: Operations, op: ops.DropColumnOp) -> None:
    """Drop a column; on the way down only if it has no values, or is named."""
    why = "the column would be dropped with its data"
    refuse_unless_empty(operations, op.table_name, op.column_name, op.schema, why)
    toimpl.drop_column(operations, op)


@Operations.implementation_for(ops.AlterColumnOp, replace=True)
def alter_column(operations: Operations, op: ops.AlterColumnOp) -> None:
    """Alter a column; on the way down to a narrower type only if it is named."""
    if change := narrowing(op, operations.migration_context.dialect):
        why = f"{change} may lose values"
        refuse_unless_empty(operations, op.table_name, op.column_name, op.schema, why)
    toimpl.alter_column(operations, op)
