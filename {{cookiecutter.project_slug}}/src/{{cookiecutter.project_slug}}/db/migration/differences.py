"""Differences between models and database, one line each."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from alembic.operations import ops
from sqlalchemy import Column, Constraint, DefaultClause, Dialect, Index, Table
from sqlalchemy.schema import CreateIndex
from sqlalchemy.types import TypeEngine

MODELS, DATABASE = range(2)


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
            case (name, *rest):
                yield name.replace("_", " "), MODELS, rest


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
