"""Differences of models and database: comparisons that Alembic lacks, and sentences."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from alembic.autogenerate import comparators
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    Constraint,
    DefaultClause,
    Dialect,
    Identity,
    Index,
    Table,
    text,
)
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql.elements import conv
from sqlalchemy.types import TypeEngine

MODELS, DATABASE = range(2)
"""Sides of a difference."""

INDEX_OPTIONS = ("using", "ops", "include", "nulls_not_distinct")
"""Options of an index that are compared, where the database has them."""


class ChangeByHand(ops.MigrateOperation):
    """Difference that `check` reports, and for which Alembic has no operation."""

    def __init__(self, place: str, models: Any, database: Any) -> None:
        """Store the place, and what both sides have there."""
        self.difference = ("by_hand", place, models, database)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the difference."""
        return self.difference

    def reverse(self) -> "ChangeByHand":
        """Return the operation: it is not written in either direction."""
        return self


def changes_by_hand(found: ops.OpContainer) -> list[ChangeByHand]:
    """Find the differences that a revision has to be written for."""
    changes = []
    for op in found.ops:
        if isinstance(op, ops.OpContainer):
            changes += changes_by_hand(op)
        elif isinstance(op, ChangeByHand):
            changes.append(op)
    return changes


@comparators.dispatch_for(
    "column", subgroup="server_default", priority=DispatchPriority.FIRST
)
def skip_fixed_defaults(
    context: AutogenContext, _change: Any, *names_and_columns: Any
) -> PriorityDispatchResult:
    """Skip computed columns, which are compared below, and IDENTITY where there is none."""
    defaults = [column.server_default for column in names_and_columns[-2:]]
    numbered = isinstance(defaults[1], Identity)
    if any(isinstance(each, Computed) for each in defaults) or (
        numbered and not context.dialect.supports_identity_columns
    ):
        return PriorityDispatchResult.STOP
    return PriorityDispatchResult.CONTINUE


@comparators.dispatch_for("table", priority=DispatchPriority.LAST)
def compare_checks(
    context: AutogenContext,
    changes: ops.ModifyTableOps,
    schema: str | None,
    name: str,
    found_table: Table | None,
    wanted_table: Table | None,
) -> None:
    """Find CHECK constraints that were added, removed or changed, by their names.

    A constraint is dropped before its columns change, and created after.
    """
    if found_table is None or wanted_table is None:
        return
    constraints = [
        each for each in wanted_table.constraints if isinstance(each, CheckConstraint)
    ]
    inspector: Any = context.inspector
    key = f"{__name__} {schema}"
    if key not in inspector.info_cache:
        # All at once: a query for each table would take as long as all the rest.
        inspector.info_cache[key] = inspector.get_multi_check_constraints(schema)
    checks = inspector.info_cache[key].get((schema, name), [])
    found = {check["name"]: check["sqltext"] for check in checks if check["name"]}
    dialect: Any = context.dialect
    compiler = dialect.ddl_compiler(dialect, None)
    names = dialect.identifier_preparer
    # Not every constraint is for this database, which may also shorten its name.
    created = compiler.create_table_constraints(wanted_table) if constraints else ""
    wanted = {}
    for check in constraints:
        quoted = names.format_constraint(check)
        if f"CONSTRAINT {quoted} CHECK" in created:
            wanted[names.unformat_identifiers(quoted)[0]] = check
    runner = (context.opts or {})["runner"]
    for key, sql in found.items():
        same = wanted.get(key)
        if same is not None and runner.expressions_equal(
            str(text(sql)),
            _sql_of(same.sqltext, compiler),
            wanted_table,
            f"the CHECK {key}",
        ):
            del wanted[key]
        else:
            old = CheckConstraint(sql, name=conv(key))
            found_table.append_constraint(old)
            changes.ops.insert(0, ops.DropConstraintOp.from_constraint(old))
    for check in wanted.values():
        changes.ops.append(ops.CreateCheckConstraintOp.from_constraint(check))


@comparators.dispatch_for("table", priority=DispatchPriority.LAST)
def compare_indexes(
    context: AutogenContext,
    changes: ops.ModifyTableOps,
    _schema: str | None,
    _name: str,
    found_table: Table | None,
    wanted_table: Table | None,
) -> None:
    """Find indexes whose predicate, method or operator class has changed."""
    if found_table is None or wanted_table is None:
        return
    dialect: Any = context.dialect
    compiler = dialect.ddl_compiler(dialect, None)
    runner = (context.opts or {})["runner"]
    changed = {op.index_name for op in changes.ops if isinstance(op, ops.DropIndexOp)}
    found = {index.name: index for index in found_table.indexes}
    for wanted in wanted_table.indexes:
        old = found.get(wanted.name)
        if old is None or wanted.name in changed:
            continue
        texts = [
            None if where is None else _sql_of(where, compiler)
            for where in (_where(old, dialect.name), _where(wanted, dialect.name))
        ]
        same = texts[0] == texts[1] or (
            None not in texts
            and runner.expressions_equal(
                *texts, wanted_table, f"the index {wanted.name}"
            )
        )
        if not same or _options(old, dialect.name) != _options(wanted, dialect.name):
            changes.ops.append(ops.DropIndexOp.from_index(old))
            changes.ops.append(ops.CreateIndexOp.from_index(wanted))


def _where(index: Index, dialect: str) -> Any:
    where = index.dialect_options[dialect].get("where")
    return text(where) if isinstance(where, str) else where


def _options(index: Index, dialect: str) -> dict[str, str]:
    """Return the options of an index that differ from the database's default."""
    given = {name: index.dialect_options[dialect].get(name) for name in INDEX_OPTIONS}
    return {
        name: str(value).lower()
        for name, value in given.items()
        if value and value != "btree"
    }


@comparators.dispatch_for("table", priority=DispatchPriority.LAST)
def compare_what_never_changes(
    context: AutogenContext,
    changes: ops.ModifyTableOps,
    _schema: str | None,
    _name: str,
    found_table: Table | None,
    wanted_table: Table | None,
) -> None:
    """Find changed primary keys and computed columns, which Alembic does not alter."""
    if found_table is None or wanted_table is None:
        return
    table = wanted_table.fullname
    keys = [[each.name for each in t.primary_key] for t in (wanted_table, found_table)]
    if keys[0] != keys[1]:
        changes.ops.append(ChangeByHand(f"{table} (primary key)", *keys))
    dialect: Any = context.dialect
    compiler = dialect.ddl_compiler(dialect, None)
    runner = (context.opts or {})["runner"]
    for column in wanted_table.columns:
        old = found_table.columns.get(column.name)
        if old is None:
            continue
        texts = [
            _sql_of(each.computed.sqltext, compiler) if each.computed else None
            for each in (column, old)
        ]
        if texts[0] != texts[1] and (
            None in texts or not runner.computed_equal(texts[1], texts[0], column)
        ):
            changes.ops.append(
                ChangeByHand(f"{table}.{column.name} (computed)", *texts)
            )


def _sql_of(expression: Any, compiler: Any) -> str:
    """Return an expression as CREATE TABLE would have it."""
    return str(
        compiler.sql_compiler.process(
            expression, include_table=False, literal_binds=True
        )
    )


def describe(found: ops.UpgradeOps, dialect: Dialect) -> list[str]:
    """Return a line for each difference: the place, and what both sides have there.

    Args:
        found: The operations that would make the database like the models.
        dialect: The database's, whose SQL the lines show.
    """
    # What changes may be dropped and created again: two operations, one difference.
    sides: dict[str, list[str]] = {}
    for place, side, what in _walk(found.as_diffs()):
        sides.setdefault(place, ["nothing", "nothing"])[side] = _show(what, dialect)
    return [
        f"{place}: the models say {models}, the database has {database}"
        for place, (models, database) in sides.items()
    ]


def _walk(differences: Iterable[Any]) -> Iterator[tuple[str, int, Any]]:
    """Take Alembic's tuples apart: a name, then what is to be added or removed."""
    for each in differences:
        match each:
            case list():
                yield from _walk(each)
            case (name, schema, table, column, dict(), old, new):
                place = f"{_join(schema, table, column)} ({name[len('modify_') :]})"
                yield place, MODELS, new
                yield place, DATABASE, old
            case ("by_hand", place, models, database):
                yield place, MODELS, models
                yield place, DATABASE, database
            case (name, schema, table, Column() as column):
                yield _join(schema, table, column.name), _side(name), column
            case ("add_table" | "remove_table" as name, Table() as table):
                yield table.fullname, _side(name), table
            case (_, Table() as table, *comment):
                yield f"{table.fullname} (comment)", MODELS, table.comment
                yield f"{table.fullname} (comment)", DATABASE, next(iter(comment), None)
            case (name, Index() | Constraint() as item):
                table = getattr(item, "table", None)
                place = _join(getattr(table, "fullname", None), item.name)
                yield place, _side(name), item
            case ("create_enum" | "drop_enum" as name, enum, _schema, values):
                yield f"{enum} (enum)", _side(name), [*values]
            case (str(), old, new, columns):
                used = (_join(each.table_name, each.column_name) for each in columns)
                place = f"{', '.join(used)} (enum)"
                yield place, MODELS, [*new]
                yield place, DATABASE, [*old]


def _side(name: str) -> int:
    return MODELS if name.startswith(("add", "create")) else DATABASE


def _join(*names: Any) -> str:
    return ".".join(name for name in names if name)


def _show(what: Any, dialect: Dialect) -> str:
    """Return the SQL of a part of a schema."""
    compiler: Any = dialect.ddl_compiler(dialect, None)  # type: ignore[arg-type]
    match what:
        case None | False:
            return "nothing"
        case Table():
            return "a table"
        case TypeEngine():
            return what.compile(dialect)
        case Column():
            return str(compiler.get_column_specification(what))
        case Index():
            # Alembic's copy of an index lacks the columns that it only includes.
            with suppress(KeyError):
                return str(CreateIndex(what).compile(dialect=dialect))
            return f"another index on {', '.join(what.columns.keys())}"
        case Constraint():
            return str(compiler.process(what))
        case DefaultClause():
            return str(getattr(what.arg, "text", what.arg))
        case list():
            return ", ".join(map(str, what))
    return str(what)
