"""Diagram of the tables in `docs/schema.md`, drawn from the models with Mermaid.

With `--check` it writes nothing, and fails where the page shows something else.
"""

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Enum,
    ForeignKeyConstraint,
    MetaData,
    Table,
    UniqueConstraint,
)

from {{cookiecutter.project_slug}}.db import Base
from {{cookiecutter.project_slug}}.db.base import import_submodules
from {{cookiecutter.project_slug}}.db.engine import DIALECT_NAME

PAGE = Path(__file__).parents[1] / "docs" / "schema.md"

TEXT = """\
# Database schema

Drawn from the models by `make schema`, or `python scripts/draw_schema.py`. Run it after you change
a model: `make check` fails while this page shows something else.

"""

NO_TABLES = "No tables yet: add a model to `models/`.\n"


def page(metadata: MetaData) -> str:
    """Return the whole page."""
    if not metadata.tables:
        return TEXT + NO_TABLES
    return f"{TEXT}```mermaid\n{draw(metadata)}```\n"


def draw(metadata: MetaData) -> str:
    """Return the diagram: each table with its columns, and what refers to what."""
    tables = sorted(metadata.tables.values(), key=lambda table: table.fullname)
    lines = ["erDiagram"]
    for table in tables:
        lines.append(f"    {_entity(table)} " + "{")
        lines += [*map(_attribute, table.columns), "    }"]
    for table in tables:
        lines += sorted(map(_reference, table.foreign_key_constraints))
    return "\n".join(lines) + "\n"


def _entity(table: Table) -> str:
    name = table.fullname
    return name if re.fullmatch(r"\w+", name) else f'"{name}"'


def _attribute(column: Column[Any]) -> str:
    keys = [
        key
        for key, holds in (
            ("PK", column.primary_key),
            ("FK", column.foreign_keys),
            ("UK", {column.name} in _unique(column.table) and not column.primary_key),
        )
        if holds
    ]
    remarks = [
        *([", ".join(column.type.enums)] if isinstance(column.type, Enum) else []),
        *(["may be NULL"] if column.nullable else []),
        *([column.comment] if column.comment else []),
    ]
    dialect = import_module(f"sqlalchemy.dialects.{DIALECT_NAME}").dialect()
    kind = _word(column.type.compile(dialect).lower())
    remark = "; ".join(remarks).replace('"', "'")
    parts = [kind, _word(column.name), ", ".join(keys), remark and f'"{remark}"']
    return f"        {' '.join(part for part in parts if part)}"


def _reference(key: ForeignKeyConstraint) -> str:
    columns = {column.name for column in key.columns}
    one = any(unique <= columns for unique in _unique(key.table))
    parent = "|o" if any(column.nullable for column in key.columns) else "||"
    label = ", ".join(key.column_keys)
    ends = f"{parent}--{'o|' if one else 'o{'}"
    return f'    {_entity(key.referred_table)} {ends} {_entity(key.table)} : "{label}"'


def _unique(table: Table) -> list[set[str]]:
    """Return the columns of each key that no two rows have in common."""
    keys: list[Any] = [
        table.primary_key,
        *(each for each in table.constraints if isinstance(each, UniqueConstraint)),
        # An index with a condition does not hold for all rows.
        *(each for each in table.indexes if each.unique and not each.dialect_kwargs),
    ]
    return [{column.name for column in key.columns} for key in keys if len(key.columns)]


def _word(text: str) -> str:
    """Return a type or a name as Mermaid accepts it: without blanks and commas."""
    text = text.replace('"', "").replace(", ", "-")
    return re.sub(r"[^\w()\[\]-]", "_", text)


def main() -> int:
    """Write the page, or compare it."""
    import_submodules("{{cookiecutter.project_slug}}", "models")
    new = page(Base.metadata)
    if "--check" not in sys.argv:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(new, encoding="utf-8", newline="\n")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == new:
        return 0
    print("docs/schema.md differs from the models: run make schema", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
