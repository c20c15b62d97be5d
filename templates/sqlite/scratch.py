"""Makes a private database for each test: a copy of one migrated file."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def server() -> Iterator[None]:
    """Do nothing: SQLite needs no server."""
    yield


class Scratch:
    """Hands out databases that live as long as a test.

    Args:
        folder: Where the files go.
    """

    def __init__(self, folder: Path) -> None:
        """Begin with no database at all."""
        self.folder = folder
        self.count = 0

    def create(self, copy_of: str | None = None) -> str:
        """Create a database and return its address.

        Args:
            copy_of: The address of the database to copy; an empty one if not given.
        """
        self.count += 1
        path = self.folder / f"{self.count}.db"
        if copy_of is not None:
            shutil.copyfile(copy_of.removeprefix("sqlite:///"), path)
        return f"sqlite:///{path}"

    def drop(self, address: str) -> None:
        """Do nothing: pytest removes old folders by itself."""
