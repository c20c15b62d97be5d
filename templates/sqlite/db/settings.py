"""Database settings: where the SQLite file is, connections, timeouts."""

import re
from pathlib import Path

import sqlalchemy as sa
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings


class DatabaseSettings(BaseSettings):
    """Settings of the data layer; times are in seconds unless the name says `ms`."""

    # Where relative paths start; the application's settings set it.
    root: Path = Field(default_factory=Path.cwd, repr=False)

    database_url: str = "sqlite:///data/app.db"
    database_echo: bool = False
    database_autoflush: bool = True
    database_expire_on_commit: bool = False
    database_pool_size: int = Field(default=10, ge=1)
    database_max_overflow: int = Field(default=0, ge=0)
    database_pool_timeout: float = Field(default=30, ge=0)
    database_retry_seconds: float = Field(default=60, ge=0)
    database_slow_query_ms: float = Field(default=500, ge=0)
    database_busy_timeout: float = Field(default=30, ge=0)
    database_backup: bool = True

    @field_validator("database_url")
    @classmethod
    def _require_file(cls, value: str) -> str:
        if not re.match(r"sqlite(\+\w+)?://(/|$)", value):
            raise ValueError("expected sqlite:///relative/path or sqlite:////full/path")
        if sa.make_url(value).database in (None, "", ":memory:"):
            raise ValueError("expected a file: each connection has its own :memory:")
        return value

    @property
    def sqlalchemy_url(self) -> sa.URL:
        """The URL with its driver and an absolute path."""
        given = sa.make_url(self.database_url)
        path = self.root / str(given.database)
        return given.set(drivername="sqlite+aiosqlite", database=str(path))
