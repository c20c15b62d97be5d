"""What `alembic revision --autogenerate` finds, and what it refuses to write."""

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
    Connection,
    Enum,
    MetaData,
    Table,
    TypeDecorator,
)
from sqlalchemy.sql.elements import conv

from . import dialect

IGNORED_TABLES: tuple[str, ...] = ()
"""Patterns of tables that revisions made but models do not describe: "audit_*"."""

SWITCH = "allow-data-loss"

logger = logging.getLogger("alembic.autogenerate")


def options(metadata: MetaData) -> dict[str, Any]:
    """Return what to tell Alembic for comparing the models with the database."""
    return {
        "compare_server_default": True,
        "include_name": _ours(metadata),
        "process_revision_directives": review,
        "render_item": render_type,
    }


def _ours(metadata: MetaData) -> Callable[..., bool]:
    """Return what tells our tables from those of extensions and other programs.

    A table that is in no model is ours, and so may be dropped, only if a revision of
    ours names it, and none lists it in `ignored_tables`.
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


def review(
    context: MigrationContext, _revision: Any, scripts: list[ops.MigrationScript]
) -> None:
    """Refuse what would lose data, and leave out what is empty.

    Raises:
        CommandError: No model was found, or the revision would lose data and nobody
            said that it may.
    """
    found = scripts[0].upgrade_ops
    assert found is not None
    if not context.opts["target_metadata"].tables and not found.is_empty():
        raise CommandError(
            "no model was found, so every table would be dropped: models belong into"
            " models/ or into a models.py of the package"
        )
    config = alembic_context.config
    if not getattr(config.cmd_opts, "autogenerate", False):
        return
    if found.is_empty():
        scripts.clear()
        logger.info("nothing has changed: no revision is written")
        return
    dangers = list(_dangers(found.ops))
    if not dangers:
        return
    if SWITCH not in alembic_context.get_x_argument(as_dictionary=True):
        raise CommandError(
            "; ".join(dangers) + ". Nothing was written; if it is what you want:"
            f" alembic -x {SWITCH} revision --autogenerate ..."
        )
    context.opts["template_args"]["allow_data_loss"] = True


def _dangers(found: Iterable[ops.MigrateOperation]) -> Iterator[str]:
    """Say what of a revision loses data or fails where there are rows."""
    found = list(found)
    created = [op for op in found if isinstance(op, ops.CreateTableOp)]
    for op in found:
        if isinstance(op, ops.ModifyTableOps):
            yield from _dangers_in_table(op)
        elif isinstance(op, ops.DropTableOp):
            columns = {column.name for column in op.to_table().columns}
            like = [
                new.table_name
                for new in created
                if columns == {c.name for c in new.columns if isinstance(c, Column)}
            ]
            yield f"the table {op.table_name} would be dropped with its rows" + (
                f" (renamed? write an empty revision with"
                f" op.rename_table({op.table_name!r}, {like[0]!r}))"
                if like
                else ""
            )


def _dangers_in_table(table: ops.ModifyTableOps) -> Iterator[str]:
    added = [op.column for op in table.ops if isinstance(op, ops.AddColumnOp)]
    for op in table.ops:
        name = table.table_name
        if isinstance(op, ops.DropColumnOp):
            dropped = op.to_column()
            kind = dropped.type._type_affinity
            like = [new.name for new in added if new.type._type_affinity is kind]
            yield f"the column {name}.{op.column_name} would be dropped with its data" + (
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
                f"the column {name}.{op.column.name} is NOT NULL and has no"
                " server_default, so it cannot be added where there are rows (give it"
                " a server_default, or add it nullable, fill it, and then change it)"
            )
        elif isinstance(op, ops.AlterColumnOp) and op.modify_nullable is False:
            yield (
                f"the column {name}.{op.column_name} becomes NOT NULL, which fails"
                " where a row has no value (write an empty revision that first fills it"
                f" with an UPDATE, then op.alter_column({name!r}, {op.column_name!r},"
                " nullable=False))"
            )


def render_type(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Write the application's own types as what the database stores.

    A revision that imports the application breaks when the application changes. A type
    of another library comes with its import.
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


def default_changed(
    connection: Connection,
    _inspected: Any,
    column: Column[Any],
    _wanted: str | None,
    found: str | None,
) -> bool:
    """Tell whether a server default has changed.

    Alembic's own comparison fails on quotes and JSON, or sees a change for ever.
    """
    # What CREATE TABLE would say, quotes included.
    compiler: Any = connection.dialect.ddl_compiler
    wanted = compiler(connection.dialect, None).get_column_default_string(column)
    if found is None or wanted is None:
        return found is not wanted
    return dialect.normal(found) != dialect.normal(wanted) and not dialect.same_value(
        connection, column, found, wanted
    )


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

    One goes before the columns that it speaks of and comes after them.
    """
    if found_table is None or wanted_table is None:
        return
    inspector: Any = context.inspector
    key = f"{__name__} {schema}"
    if key not in inspector.info_cache:
        # All at once: asking for each table would take as long as all the rest.
        inspector.info_cache[key] = inspector.get_multi_check_constraints(schema)
    checks = inspector.info_cache[key].get((schema, name), [])
    found = {check["name"]: check["sqltext"] for check in checks if check["name"]}
    wanted = {
        str(check.name): check
        for check in wanted_table.constraints
        if isinstance(check, CheckConstraint) and check.name
    }
    for key, text in found.items():
        if key in wanted and dialect.same_check(text, str(wanted[key].sqltext)):
            del wanted[key]
        else:
            old = CheckConstraint(text, name=conv(key))
            found_table.append_constraint(old)
            changes.ops.insert(0, ops.DropConstraintOp.from_constraint(old))
    for check in wanted.values():
        changes.ops.append(ops.CreateCheckConstraintOp.from_constraint(check))
