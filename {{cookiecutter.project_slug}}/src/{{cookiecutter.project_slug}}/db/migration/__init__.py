"""Migration machinery: Alembic's commands, made safe."""

from typing import Any

from sqlalchemy.types import UserDefinedType


class RawType(UserDefinedType[Any]):
    """Type of a column in a revision, known by its SQL only.

    Autogenerate writes it for a type that the application defines: a revision that
    imports the application breaks when the application changes.
    """

    cache_ok = True

    def __init__(self, sql: str) -> None:
        """Store the SQL, such as "CITEXT"."""
        self.sql = sql

    def get_col_spec(self, **_options: Any) -> str:
        """Return the SQL."""
        return self.sql
