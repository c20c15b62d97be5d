"""Autogenerate: which objects are ours, what is refused, how types are written."""

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
from alembic.autogenerate import render
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.script import Script
from alembic.util import CommandError
from sqlalchemy import (
    Dialect,
    Enum,
    ForeignKeyConstraint,
    MetaData,
    TypeDecorator,
)
from sqlalchemy.schema import BLANK_SCHEMA, conv

from . import RawType, data_loss
from .data_loss import qualified
from .differences import changes_by_hand, describe

IGNORED_TABLES: tuple[str, ...] = ()
"""Patterns of tables that revisions create but no model describes: "audit_*"."""

logger = logging.getLogger("alembic.autogenerate")


def options(metadata: MetaData) -> dict[str, Any]:
    """Return the options of `context.configure` that compare models and database."""
    return {
        "compare_server_default": True,
        "compare_type": data_loss.compare_type,
        **_filters(metadata),
        "include_schemas": any(each.schema for each in metadata.tables.values()),
        "process_revision_directives": process_revision_directives,
        "render_item": render_item,
    }


def without_default_schema(metadata: MetaData, default: str | None) -> MetaData:
    """Return the tables without a schema that has to be named nowhere.

    Alembic knows the tables of the default schema by their bare names.
    """
    if all(table.schema != default for table in metadata.tables.values()):
        return metadata
    copy = MetaData(naming_convention=metadata.naming_convention)

    def referred(*names: Any) -> Any:
        return BLANK_SCHEMA if names[-1] == default else names[-1]

    for table in metadata.tables.values():
        schema: Any = None if table.schema == default else table.schema
        table.to_metadata(copy, schema=schema, referred_schema_fn=referred)
    return copy


def _filters(metadata: MetaData) -> dict[str, Callable[..., bool]]:
    """Return the filters of the application's objects: others may share the database.

    A table without a model belongs to the application, and so may be dropped, only if
    one of its revisions creates it and none lists it in `ignored_tables`.
    """

    @cache
    def ignored() -> tuple[str, ...]:
        revisions = alembic_context.script.walk_revisions()
        lists = (getattr(each.module, "ignored_tables", ()) for each in revisions)
        return (*IGNORED_TABLES, *chain(*lists))

    schemas = {None, *(each.schema for each in metadata.tables.values())}

    def include_name(name: str | None, kind: str, parents: Mapping[str, Any]) -> bool:
        if kind == "schema":
            return name in schemas
        if kind != "table" or name is None:
            return True
        if parents["schema_qualified_table_name"] in metadata.tables:
            return True
        if any(fnmatch(name, pattern) for pattern in ignored()):
            return False
        return name in created_names()

    def include_object(
        item: Any, _name: str | None, kind: str, reflected: bool, wanted: Any
    ) -> bool:
        # The database copies a foreign key to a partitioned table for each partition.
        if kind != "foreign_key_constraint" or not reflected or wanted is not None:
            return True
        target = item.elements[0].target_fullname.rpartition(".")[0]
        return target in metadata.tables or target in created_names()

    return {"include_name": include_name, "include_object": include_object}


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
    assert context.dialect is not None
    _refuse_long_names(context.opts["target_metadata"], context.dialect)
    config = alembic_context.config
    asked = getattr(config.cmd_opts, "cmd", [None])[0]
    if asked is command.check or config.attributes.get("check"):
        if lines := describe(found, context.dialect):
            raise CommandError("\n".join(lines))
        return
    if by_hand := changes_by_hand(found):
        text = "; ".join(describe(ops.UpgradeOps(by_hand), context.dialect))
        raise CommandError(
            f"{text}. Autogenerate cannot write this: alembic revision -m …"
        )
    if found.is_empty():
        scripts.clear()
        logger.info("nothing has changed: no revision is written")
        return
    if context.dialect.supports_alter:
        _create_cycles_later(scripts[0])
    assert context.connection is not None
    losses = data_loss.find(found.ops, context.connection)
    lost = data_loss.accept(losses, "revision --autogenerate …")
    context.opts["template_args"]["allow_data_loss"] = lost


def _refuse_long_names(metadata: MetaData, dialect: Dialect) -> None:
    """Refuse a name that the database would cut, and never be found by again."""
    limit = dialect.max_identifier_length
    for table in metadata.tables.values():
        types = (column.type for column in table.columns)
        parts = (table, *table.columns, *table.constraints, *table.indexes, *types)
        for name in (getattr(part, "name", None) for part in parts):
            # SQLAlchemy shortens the names that it makes by itself.
            given = isinstance(name, str) and not isinstance(name, conv)
            if given and len(str(name).encode()) > limit:
                raise CommandError(
                    f"{table.name}: the name {name} is longer than {limit} bytes:"
                    " give a shorter one"
                )


def _create_cycles_later(script: ops.MigrationScript) -> None:
    """Add the foreign keys that refer to later tables after all tables are created."""
    upgrade, downgrade = script.upgrade_ops, script.downgrade_ops
    assert upgrade is not None and downgrade is not None
    created = [op for op in upgrade.ops if isinstance(op, ops.CreateTableOp)]
    later = {qualified(op.schema, op.table_name) for op in created}
    for op in created:
        later.discard(qualified(op.schema, op.table_name))
        for key in [*op.columns]:
            if not isinstance(key, ForeignKeyConstraint):
                continue
            target = key.elements[0].target_fullname.rpartition(".")[0]
            if key.use_alter or target in later:
                op.columns = [each for each in op.columns if each is not key]
                upgrade.ops.append(ops.CreateForeignKeyOp.from_constraint(key))
                downgrade.ops.insert(0, ops.DropConstraintOp.from_constraint(key))


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Render a type of the application as the type that the database stores.

    A revision that imports the application breaks when the application changes. A type
    of another library is rendered with its import.
    """
    if kind != "type":
        return False
    assert context.dialect is not None
    module = type(item).__module__
    if isinstance(item, TypeDecorator) and not module.startswith("sqlalchemy."):
        return render._repr_type(item.load_dialect_impl(context.dialect), context)
    if isinstance(item, Enum) and not item.native_enum and not item.create_constraint:
        return f"sa.String(length={item.length})"
    package = __name__.partition(".")[0]
    if module.partition(".")[0] == package and type(item) is not RawType:
        item, module = RawType(item.compile(context.dialect)), RawType.__module__
    if module.partition(".")[0] != "sqlalchemy":
        context.imports.add(f"from {module} import {type(item).__name__}")
        return f"RawType({item.sql!r})" if isinstance(item, RawType) else repr(item)
    return False
