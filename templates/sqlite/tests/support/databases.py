"""Databases of the tests: each is a copy of one migrated file."""

import shutil
from contextlib import nullcontext
from pathlib import Path

server = nullcontext
"""Block in which a server runs: SQLite needs none."""


class DatabaseFactory:
    """Creates databases that live as long as a test.

    Args:
        folder: Folder of the files.
    """

    def __init__(self, folder: Path) -> None:
        """Start without a database."""
        self.folder = folder
        self.count = 0

    def create(self, copy_of: str | None = None) -> str:
        """Create a database and return its URL.

        Args:
            copy_of: URL of the database to copy; an empty one if not given.
        """
        self.count += 1
        path = self.folder / f"{self.count}.db"
        if copy_of is not None:
            shutil.copyfile(copy_of.removeprefix("sqlite:///"), path)
        return f"sqlite:///{path}"

    def drop(self, url: str) -> None:
        """Delete a database, with the files that SQLite keeps beside it."""
        for path in self.folder.glob(f"{Path(url).name}*"):
            path.unlink()
