"""Databases of the tests: each is a copy of one migrated file."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

server = nullcontext
"""Block in which a server runs: SQLite needs none."""


@contextmanager
def temporary_database(copy_of: str | None = None) -> Iterator[str]:
    """Create an empty database, or a copy of the one at a URL; yield its URL."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder, "test.db")
        if copy_of is not None:
            shutil.copyfile(copy_of.removeprefix("sqlite:///"), path)
        yield f"sqlite:///{path}"
