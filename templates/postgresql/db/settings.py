"""Database settings: URLs of PostgreSQL, connections, timeouts."""

from typing import Literal

import sqlalchemy as sa
from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings
from sqlalchemy.exc import ArgumentError


class DatabaseSettings(BaseSettings):
    """Settings of the data layer; times are in seconds unless the name says `ms`."""

    database_url: SecretStr | None = None
    postgres_host: str = "127.0.0.1"
    postgres_port: int = Field(default=5432, ge=1, le=65535)
    postgres_user: str = "postgres"
    postgres_password: SecretStr = SecretStr("")
    postgres_db: str = "postgres"
    database_read_url: SecretStr | None = None
    migration_database_url: SecretStr | None = None

    database_echo: bool = False
    database_autoflush: bool = True
    database_expire_on_commit: bool = False
    database_pool_size: int = Field(default=10, ge=1)
    database_max_overflow: int = Field(default=0, ge=0)
    database_pool_timeout: float = Field(default=30, ge=0)
    database_retry_seconds: float = Field(default=60, ge=0)
    database_slow_query_ms: float = Field(default=500, ge=0)
    database_ping_after: float = Field(default=30, ge=0)
    database_pooler: Literal["none", "transaction"] = "none"
    database_connect_timeout: float = Field(default=5, gt=0)
    database_statement_timeout: float = Field(default=30, ge=0)
    database_lock_timeout: float = Field(default=5, ge=0)

    @field_validator("database_url", "database_read_url", "migration_database_url")
    @classmethod
    def _require_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_url(value)
        return value

    @field_validator("app_env", check_fields=False)
    @classmethod
    def _require_password(cls, value: str, info: ValidationInfo) -> str:
        password = cls.model_construct(**info.data).sqlalchemy_url.password
        if value == "production" and password in ("password", "postgres"):
            raise ValueError("production needs a password that is in no example")
        return value

    @property
    def sqlalchemy_url(self) -> sa.URL:
        """The URL with its driver, from `database_url` or from its parts."""
        if self.database_url is not None:
            return parse_url(self.database_url)
        return sa.URL.create(
            "postgresql+asyncpg",
            username=self.postgres_user,
            password=self.postgres_password.get_secret_value() or None,
            host=self.postgres_host,
            port=self.postgres_port,
            database=self.postgres_db,
        )


def parse_url(value: SecretStr) -> sa.URL:
    """Return the URL for asyncpg, from any spelling that a hosting platform uses.

    Raises:
        ValueError: It is not the URL of a PostgreSQL database.
    """
    try:
        given = sa.make_url(value.get_secret_value())
    except ArgumentError:
        given = None
    if given is None or given.get_backend_name() not in ("postgres", "postgresql"):
        raise ValueError("expected postgresql://user:password@host:port/database")
    query = {"ssl" if k == "sslmode" else k: v for k, v in given.query.items()}
    # asyncpg has no channel binding; `sslmode` stays in force.
    query.pop("channel_binding", None)
    if unknown := query.keys() - {"host", "port", "ssl", "target_session_attrs"}:
        raise ValueError(f"asyncpg does not know the parameter {min(unknown)!r}")
    return given.set(drivername="postgresql+asyncpg", query=query)
