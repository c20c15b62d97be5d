"""Sample rows for every table of a database, whatever its columns are."""

import re
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Table, inspect, select

EXAMPLES: dict[str, list[dict[str, Any]]] = {}
"""Rows for tables with constraints that cannot be guessed, by table name."""

_numbers = count(1)


def insert_rows(connection: Connection) -> None:
    """Insert two rows into each table.

    Raises:
        LookupError: A table refuses the rows; it needs some in EXAMPLES.
    """
    for table in _tables(connection):
        examples = EXAMPLES.get(table.name) or [
            _row(connection, table, position) for position in range(2)
        ]
        try:
            connection.execute(table.insert(), examples)
        except Exception as error:
            raise LookupError(
                f"tests/support/sample_data.py needs EXAMPLES[{table.name!r}]"
            ) from error


def read_columns(connection: Connection) -> dict[str, tuple[str, list[Any]]]:
    """Return the type of each column and its values, ordered by primary key."""
    columns = {}
    for table in _tables(connection):
        rows = connection.execute(select(table).order_by(*table.primary_key)).all()
        for position, column in enumerate(table.columns):
            values = [row[position] for row in rows]
            columns[str(column)] = (str(column.type), values)
    return columns


def _tables(connection: Connection) -> list[Table]:
    metadata = MetaData()
    metadata.reflect(connection)
    return [each for each in metadata.sorted_tables if each.name != "alembic_version"]


def _row(connection: Connection, table: Table, position: int) -> dict[str, Any]:
    checks = inspect(connection).get_check_constraints(table.name)
    row: dict[str, Any] = {}
    for column in table.columns:
        if column.computed or column is table.autoincrement_column:
            continue
        if column.foreign_keys:
            parent = next(iter(column.foreign_keys)).column
            newest = select(parent).order_by(parent.desc()).offset(position).limit(1)
            row[column.name] = connection.scalar(newest)
            continue
        row[column.name] = _value(column)
        for sql in (check["sqltext"] for check in checks):
            name = re.escape(column.name)
            if length := re.search(rf"length\({name}\) = (\d+)", sql):
                row[column.name] = row[column.name][:1] * int(length[1])
            elif choice := re.search(rf"(?s)\b{name}\b.*?'((?:[^']|'')+)'", sql):
                row[column.name] = choice[1].replace("''", "'")
    return row


def _value(column: Column[Any]) -> Any:
    number = next(_numbers)
    if names := getattr(column.type, "enums", None):
        return names[0]
    # A type of another library may have a dimension.
    if size := getattr(column.type, "dim", None):
        return [float(number)] * size
    try:
        python: type[Any] = column.type.python_type
    except NotImplementedError:
        return None
    if issubclass(python, str):
        return f"{number}"[: getattr(column.type, "length", None)]
    values: dict[type[Any], Any] = {
        bool: True,
        bytes: b"%d" % number,
        date: date(2026, 1, 1) + timedelta(days=number),
        datetime: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
        Decimal: Decimal(number),
        dict: {"number": number},
        float: float(number),
        int: number,
        list: [],
        time: time(number % 24),
        timedelta: timedelta(number),
        uuid.UUID: uuid.UUID(int=number),
    }
    return values.get(python)
