"""Settings of the API."""

import re
from typing import Any

from pydantic import Field, SecretStr, field_validator

from ..settings import Settings


class ApiSettings(Settings):
    """Settings of a process that serves the API."""

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65535)
    api_token: SecretStr | None = None
    api_docs: bool = True
    api_max_body: int = Field(default=1_048_576, ge=0)
    api_page_size: int = Field(default=100, ge=1)
    api_timeout: float = Field(default=30, gt=0)

    def __init__(self, **values: Any) -> None:
        """Read the settings; `values` override the environment and `.env`."""
        super().__init__(**values)

    @field_validator("api_token")
    @classmethod
    def _validate_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        # Printable ASCII is the only text that every client encodes alike in a header.
        if not re.fullmatch(r"[!-~]{16,}", value.get_secret_value()):
            raise ValueError("expected 16 or more ASCII characters without a space")
        return value
