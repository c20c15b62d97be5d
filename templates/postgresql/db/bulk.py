"""Inserts of many rows, with PostgreSQL's COPY."""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import UserDefinedType


async def insert_many(
    session: AsyncSession,
    table: sa.Table,
    names: Sequence[str],
    rows: Iterator[Sequence[Any]],
) -> int:
    """Insert rows with COPY and return their number.

    A column type of another library makes it INSERT: the driver sends such values as
    text, which its COPY does not take.

    Args:
        session: Session whose transaction the rows join. It must have started: the driver
            starts it with the first statement, and does not count COPY as one.
        table: Table to insert into.
        names: Columns, in the order of each row's values.
        rows: Values as the driver takes them; read one by one, so memory stays flat.
    """
    connection = await session.connection()
    driver: Any = (await connection.get_raw_connection()).driver_connection
    try:
        kinds = [c.type.dialect_impl(connection.dialect) for c in table.columns]
        plain = [getattr(kind, "impl_instance", kind) for kind in kinds]
        if any(isinstance(kind, UserDefinedType) for kind in plain):
            quote = connection.dialect.identifier_preparer
            columns = ", ".join(map(quote.quote, names))
            marks = ", ".join(f"${number}" for number in range(1, len(names) + 1))
            into = f"INSERT INTO {quote.format_table(table)} ({columns})"
            # Rows before numbers: at the end of the rows no number is taken.
            numbers = count()
            counted = (row for row, _ in zip(rows, numbers, strict=False))
            await driver.executemany(f"{into} VALUES ({marks})", counted)
            return next(numbers)
        status = await driver.copy_records_to_table(
            table.name, schema_name=table.schema, columns=names, records=rows
        )
    except asyncpg.IntegrityConstraintViolationError as error:
        raise IntegrityError(f"COPY {table.name}", None, error) from error
    return int(status.removeprefix("COPY "))
