"""Autogenerate: comparisons beside Alembic's own, and refusals to lose data."""

import ast
import logging
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from alembic import command
from alembic import context as alembic_context
from alembic.autogenerate import comparators, render
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.script import Script
from alembic.util import CommandError, DispatchPriority
from sqlalchemy import CheckConstraint, Enum, MetaData, Table, TypeDecorator
from sqlalchemy.sql.elements import conv

from . import data_loss
from .differences import describe

IGNORED_TABLES: tuple[str, ...] = ()
"""Patterns of tables that revisions create but no model describes: "audit_*"."""

logger = logging.getLogger("alembic.autogenerate")


def options(metadata: MetaData) -> dict[str, Any]:
    """Return the options of `context.configure` that compare models and database."""
    return {
        "compare_server_default": True,
        "compare_type": data_loss.compare_type,
        "include_name": _include_name(metadata),
        "process_revision_directives": process_revision_directives,
        "render_item": render_item,
    }


def _include_name(metadata: MetaData) -> Callable[..., bool]:
    """Return the filter of the application's tables: others may share the database.

    A table without a model belongs to the application, and so may be dropped, only if
    one of its revisions creates it and none lists it in `ignored_tables`.
    """

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
        return name in created_names()

    return include_name


def created_names() -> frozenset[str]:
    """Return the names of the tables and types that the application's revisions create."""
    config = alembic_context.config
    if "created_names" not in config.attributes:
        names = chain(*map(_names_created_in, alembic_context.script.walk_revisions()))
        config.attributes["created_names"] = frozenset(names)
    found: frozenset[str] = config.attributes["created_names"]
    return found


def _names_created_in(revision: Script) -> Iterator[str]:
    """Find the names in the operations of a revision, which is not run for that."""
    for node in ast.walk(ast.parse(Path(revision.path).read_bytes())):
        match node:
            case ast.Call(ast.Attribute(attr="create_table" | "rename_table"), given):
                values = given[:2]
            case ast.Call(ast.Attribute(attr="Enum" | "ENUM"), keywords=options):
                values = [each.value for each in options if each.arg == "name"]
            case _:
                continue
        for value in values:
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.value


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
    asked = getattr(config.cmd_opts, "cmd", [None])[0]
    if asked is command.check or config.attributes.get("check"):
        if lines := describe(found, context.dialect):
            raise CommandError("\n".join(lines))
        return
    if found.is_empty():
        scripts.clear()
        logger.info("nothing has changed: no revision is written")
        return
    losses = data_loss.find(found.ops, context.dialect)
    lost = data_loss.accept(losses, "revision --autogenerate …")
    context.opts["template_args"]["allow_data_loss"] = lost


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
