"""Settings of the cache."""

from typing import Any

from pydantic import Field, SecretStr, field_validator
from redis.asyncio import ConnectionPool

from ..settings import Settings


class CacheSettings(Settings):
    """Settings of a process that caches; without `redis_url` nothing is cached."""

    redis_url: SecretStr | None = None
    redis_timeout: float = Field(default=1, gt=0)
    redis_max_connections: int = Field(default=20, ge=1)
    cache_lock_timeout: float = Field(default=5, gt=0)
    cache_version: str = Field(default="1", pattern=r"^[\w.-]+$")

    def __init__(self, **values: Any) -> None:
        """Read the settings; keyword arguments take precedence."""
        super().__init__(**values)

    @field_validator("redis_url")
    @classmethod
    def _validate_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        try:
            # Parses the URL with all its options, and connects to nothing.
            pool = ConnectionPool.from_url(value.get_secret_value())
            pool.connection_class(**pool.connection_kwargs)
        except (TypeError, ValueError):
            # Not `from error`: its message may contain parts of the password.
            raise ValueError(
                "expected redis://:password@127.0.0.1:6379/0, rediss://..."
                " or unix:///path"
            ) from None
        return value
