"""Autogenerate: comparisons beside Alembic's own, and refusals to lose data."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatch
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from alembic import context as alembic_context
from alembic.autogenerate import comparators, render
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError, DispatchPriority
from sqlalchemy import (
    CheckConstraint,
    Column,
    Enum,
    MetaData,
    Table,
    TypeDecorator,
)
from sqlalchemy.sql.elements import conv

IGNORED_TABLES: tuple[str, ...] = ()
"""Patterns of tables that revisions create but no model describes: "audit_*"."""

ALLOW_DATA_LOSS = "allow-data-loss"
"""Name of the `-x` switch that accepts a loss of data."""

logger = logging.getLogger("alembic.autogenerate")


def options(metadata: MetaData) -> dict[str, Any]:
    """Return the options of `context.configure` that compare models and database."""
    return {
        "compare_server_default": True,
        "include_name": _include_name(metadata),
        "process_revision_directives": process_revision_directives,
        "render_item": render_item,
    }


def _include_name(metadata: MetaData) -> Callable[..., bool]:
    """Return the filter of the application's tables: others may share the database.

    A table without a model belongs to the application, and so may be dropped, only if
    one of its revisions names it and none lists it in `ignored_tables`.
    """

    @cache
    def history() -> str:
        revisions = alembic_context.script.walk_revisions()
        return "".join(
            Path(each.path).read_text(encoding="utf-8") for each in revisions
        )

    @cache
    def ignored() -> tuple[str, ...]:
        revisions = alembic_context.script.walk_revisions()
        lists = (getattr(each.module, "ignored_tables", ()) for each in revisions)
        return (*IGNORED_TABLES, *chain(*lists))

    def include_name(name: str | None, kind: str, _parents: Mapping[str, Any]) -> bool:
        if kind != "table" or name is None or name in metadata.tables:
            return True
        if any(fnmatch(name, pattern) for pattern in ignored()):
            return False
        return re.search(rf"""["']{re.escape(name)}["']""", history()) is not None

    return include_name


def process_revision_directives(
    context: MigrationContext, _revision: Any, scripts: list[ops.MigrationScript]
) -> None:
    """Refuse a revision that would lose data, and drop an empty one.

    Raises:
        CommandError: No model was found, or the revision would lose data and the
            command does not allow that.
    """
    found = scripts[0].upgrade_ops
    assert found is not None
    if not context.opts["target_metadata"].tables and not found.is_empty():
        raise CommandError(
            "no model was found, so every table would be dropped: put models into"
            " models/, or into a models.py of the package"
        )
    config = alembic_context.config
    if not getattr(config.cmd_opts, "autogenerate", False):
        return
    if found.is_empty():
        scripts.clear()
        logger.info("nothing has changed: no revision is written")
        return
    problems = list(_find_destructive_ops(found.ops))
    if not problems:
        return
    if ALLOW_DATA_LOSS not in alembic_context.get_x_argument(as_dictionary=True):
        raise CommandError(
            "; ".join(problems) + ". Nothing was written. To accept it:"
            f" alembic -x {ALLOW_DATA_LOSS} revision --autogenerate ..."
        )
    context.opts["template_args"]["allow_data_loss"] = True


def _find_destructive_ops(found: Iterable[ops.MigrateOperation]) -> Iterator[str]:
    """Describe each operation that loses data, or that fails on existing rows."""
    found = list(found)
    created = [op for op in found if isinstance(op, ops.CreateTableOp)]
    for op in found:
        if isinstance(op, ops.ModifyTableOps):
            yield from _find_in_table(op)
        elif isinstance(op, ops.DropTableOp):
            columns = {column.name for column in op.to_table().columns}
            like = [
                new.table_name
                for new in created
                if columns == {c.name for c in new.columns if isinstance(c, Column)}
            ]
            yield f"{op.table_name}: the table would be dropped with its rows" + (
                f" (renamed? write an empty revision with"
                f" op.rename_table({op.table_name!r}, {like[0]!r}))"
                if like
                else ""
            )


def _find_in_table(table: ops.ModifyTableOps) -> Iterator[str]:
    added = [op.column for op in table.ops if isinstance(op, ops.AddColumnOp)]
    for op in table.ops:
        name = table.table_name
        if isinstance(op, ops.DropColumnOp):
            dropped = op.to_column()
            like = [new.name for new in added if _kind(new) is _kind(dropped)]
            yield f"{name}.{op.column_name}: the column would be dropped with its data" + (
                f" (renamed? write an empty revision with op.alter_column({name!r},"
                f" {op.column_name!r}, new_column_name={like[0]!r}))"
                if like
                else ""
            )
        # `server_default` is also where SQLAlchemy keeps Identity and Computed.
        elif isinstance(op, ops.AddColumnOp) and not (
            op.column.nullable or op.column.server_default
        ):
            yield (
                f"{name}.{op.column.name}: NOT NULL without a default fails on existing"
                " rows (add server_default, or add it nullable, backfill, then tighten)"
            )
        elif isinstance(op, ops.AlterColumnOp) and op.modify_nullable is False:
            yield (
                f"{name}.{op.column_name}: NOT NULL fails on rows without a value"
                " (write an empty revision that backfills with an UPDATE, then"
                f" op.alter_column({name!r}, {op.column_name!r}, nullable=False))"
            )


def _kind(column: Column[Any]) -> type[Any]:
    return type(column.type.as_generic(allow_nulltype=True))


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Render a type of the application as the type that the database stores.

    A revision that imports the application breaks when the application changes. A type
    of another library is rendered with its import.
    """
    if kind != "type":
        return False
    module = type(item).__module__
    if isinstance(item, TypeDecorator) and not module.startswith("sqlalchemy."):
        assert context.dialect is not None
        return render._repr_type(item.load_dialect_impl(context.dialect), context)
    if isinstance(item, Enum) and not item.native_enum:
        return f"sa.String(length={item.length})"
    if module.partition(".")[0] not in ("sqlalchemy", __name__.partition(".")[0]):
        context.imports.add(f"from {module} import {type(item).__name__}")
        return repr(item)
    return False


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
    inspector: Any = context.inspector
    key = f"{__name__} {schema}"
    if key not in inspector.info_cache:
        # All at once: a query for each table would take as long as all the rest.
        inspector.info_cache[key] = inspector.get_multi_check_constraints(schema)
    checks = inspector.info_cache[key].get((schema, name), [])
    found = {check["name"]: check["sqltext"] for check in checks if check["name"]}
    wanted = {
        str(check.name): check
        for check in wanted_table.constraints
        if isinstance(check, CheckConstraint) and check.name
    }
    checks_equal = (context.opts or {})["checks_equal"]
    for key, text in found.items():
        if key in wanted and checks_equal(text, str(wanted[key].sqltext)):
            del wanted[key]
        else:
            old = CheckConstraint(text, name=conv(key))
            found_table.append_constraint(old)
            changes.ops.insert(0, ops.DropConstraintOp.from_constraint(old))
    for check in wanted.values():
        changes.ops.append(ops.CreateCheckConstraintOp.from_constraint(check))
