"""Inserts of many rows, with the fastest way that SQLite's driver has."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert as insert
from sqlalchemy.ext.asyncio import AsyncSession

CHUNK_ROWS = 10_000
"""Rows passed to the driver at a time."""


async def insert_many(
    session: AsyncSession,
    table: sa.Table,
    names: Sequence[str],
    rows: Iterator[Sequence[Any]],
) -> int:
    """Insert rows with the driver's `executemany` and return their number.

    Args:
        session: Session whose transaction the rows join.
        table: The table.
        names: Columns, in the order of each row's values.
        rows: Values as the driver takes them; read in chunks, so memory stays flat.
    """
    connection = await session.connection()
    quote = connection.dialect.identifier_preparer
    columns = ", ".join(quote.quote(name) for name in names)
    marks = ", ".join("?" * len(names))
    statement = f"INSERT INTO {quote.format_table(table)} ({columns}) VALUES ({marks})"
    total = 0
    while chunk := list(islice(rows, CHUNK_ROWS)):
        await connection.exec_driver_sql(statement, chunk)
        total += len(chunk)
    return total
