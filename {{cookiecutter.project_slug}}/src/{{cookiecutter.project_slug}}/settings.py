"""Settings, from environment variables and `.env` files."""

import logging
import os
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_settings import DotEnvSettingsSource, SettingsConfigDict

from .db.base import import_submodules
from .db.settings import DatabaseSettings

logger = logging.getLogger(__name__)

OTHER_PREFIXES = ("compose_", "test_")
"""Names in `.env` that Docker Compose and the tests read."""


class SettingsError(ValueError):
    """A setting is wrong; the message is one line that names it."""


class Settings(DatabaseSettings):
    """Settings of one process; a feature extends them in its own `settings.py`.

    The environment wins over `.env.{APP_ENV}`, and that over `.env`. Both files are in
    the project's root. `.env.example` lists every setting.

    Raises:
        SettingsError: A value is wrong, or a keyword argument names no setting.
    """

    model_config = SettingsConfigDict(env_file_encoding="utf-8", extra="ignore")

    app_env: Literal["development", "test", "production"] = "development"

    def __init__(self, **values: Any) -> None:
        """Read the settings; `values` win over environment and files."""
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
        _warn_of_unknown_names(options["_env_file"] or [])


def _warn_of_unknown_names(files: list[Path]) -> None:
    """Log each name in the files that no setting reads, with the nearest known one."""
    if not (files := [file for file in files if file.is_file()]):
        return
    import_submodules(__name__.partition(".")[0], "settings")
    known = {*Settings.model_fields}.union(
        *(each.model_fields for each in Settings.__subclasses__())
    )
    for file in files:
        for name in DotEnvSettingsSource(Settings, env_file=file).env_vars:
            if name not in known and not name.startswith(OTHER_PREFIXES):
                nearest = get_close_matches(name, known, n=1)
                hint = f"; did you mean {nearest[0].upper()}?" if nearest else ""
                _warn_once(f"{file.name}: {name.upper()} is not a setting{hint}")


@cache
def _warn_once(message: str) -> None:
    logger.warning(message)


def project_root() -> Path:
    """Return the folder of the checkout, or the working directory of an installed wheel."""
    folder = Path(__file__).resolve().parents[2]
    return folder if (folder / "pyproject.toml").is_file() else Path.cwd()
