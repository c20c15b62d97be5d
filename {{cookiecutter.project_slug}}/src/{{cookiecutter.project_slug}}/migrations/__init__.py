"""Alembic migrations; from inside a program: `await upgrade(database)`."""

from pathlib import Path

from ..db.migration.directory import MigrationDirectory

directory = MigrationDirectory(Path(__file__).parent)

upgrade = directory.upgrade
downgrade = directory.downgrade
check = directory.check

__all__ = ["check", "directory", "downgrade", "upgrade"]
