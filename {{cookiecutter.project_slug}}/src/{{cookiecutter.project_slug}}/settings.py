"""What can be set from outside: environment variables and `.env` files."""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from .dialect import DialectSettings


class SettingsError(ValueError):
    """A setting is wrong; the message is one line that names it."""


class Settings(DialectSettings):
    """The settings of one process.

    The environment wins over `.env.{APP_ENV}`, and that over `.env`. Both files lie
    in the project's root. What can be set stands in `.env.example`.

    Raises:
        SettingsError: A value is wrong, or a keyword argument names no setting.
    """

    model_config = SettingsConfigDict(env_file_encoding="utf-8", extra="ignore")

    app_env: Literal["development", "test", "production"] = "development"

    def __init__(self, **values: Any) -> None:
        """Read the settings; `values` win over everything read."""
        root = project_root()
        environment = os.environ.get("APP_ENV") or "development"
        files = [root / ".env", root / f".env.{environment}"]
        for name in values:
            if name not in type(self).model_fields and not name.startswith("_"):
                raise SettingsError(f"{name}: there is no such setting")
        options: dict[str, Any] = {"_env_file": files, "root": root, **values}
        try:
            super().__init__(**options)
        except ValidationError as error:
            lines = (
                f"{str(wrong['loc'][0]).upper()}:"
                f" {wrong['msg'].removeprefix('Value error, ')}"
                for wrong in error.errors(include_url=False, include_input=False)
            )
            # Not `from error`: that would show the values, and some are secret.
            raise SettingsError("; ".join(lines)) from None


def project_root() -> Path:
    """Return the checkout's folder, or the working directory for an installed wheel."""
    folder = Path(__file__).resolve().parents[2]
    return folder if (folder / "pyproject.toml").is_file() else Path.cwd()
