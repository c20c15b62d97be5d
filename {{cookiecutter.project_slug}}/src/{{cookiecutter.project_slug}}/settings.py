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
        options: dict[str, Any] = {"_env_file": files, "root": root, **values}
        known = type(self).model_fields.keys() | {"root"}
        for name in options:
            if name not in known and not name.startswith("_"):
                raise SettingsError(f"{name}: there is no such setting")
        try:
            super().__init__(**options)
        except ValidationError as error:
            # Not `from error`: that would show the values, and some are secret.
            raise SettingsError(_in_one_line(error)) from None


def project_root() -> Path:
    """Return the checkout's folder, or the working directory for an installed wheel."""
    folder = Path(__file__).resolve().parents[2]
    return folder if (folder / "pyproject.toml").is_file() else Path.cwd()


def _in_one_line(error: ValidationError) -> str:
    return "; ".join(
        f"{str(each['loc'][0]).upper()}: {each['msg'].removeprefix('Value error, ')}"
        for each in error.errors(include_url=False, include_input=False)
    )
