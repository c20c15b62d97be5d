"""Tests of the settings."""

from pathlib import Path

import pytest

from {{cookiecutter.project_slug}} import settings as module
from {{cookiecutter.project_slug}}.settings import Settings


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the project's."""
    monkeypatch.setattr(module, "project_root", lambda: tmp_path)
    return tmp_path


def test_settings_need_no_file(root: Path) -> None:
    settings = Settings()
    assert settings.app_env == "development"
    assert settings.database_pool_size == 10


def test_the_environment_wins_over_both_files(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".env").write_text("DATABASE_POOL_SIZE=2\nDATABASE_MAX_OVERFLOW=2\n")
    (root / ".env.test").write_text("DATABASE_POOL_SIZE=3\n")
    assert Settings().database_pool_size == 2
    monkeypatch.setenv("APP_ENV", "test")
    assert Settings().database_pool_size == 3
    assert Settings().database_max_overflow == 2
    monkeypatch.setenv("DATABASE_POOL_SIZE", "4")
    assert Settings().database_pool_size == 4


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DATABASE_POOL_SIZE", "many", "DATABASE_POOL_SIZE: Input should be a valid"),
        ("DATABASE_POOL_SIZE", "0", "DATABASE_POOL_SIZE: Input should be greater"),
        ("DATABASE_URL", "mysql://secret@host/db", "DATABASE_URL: expected "),
        ("DATABASE_URL", "secret", "DATABASE_URL: expected "),
        ("APP_ENV", "prod", "APP_ENV: Input should be 'development', 'test' or"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(module.SettingsError) as caught:
        Settings()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_an_unknown_argument_is_refused(root: Path) -> None:
    message = "database_pol_size: there is no such"
    with pytest.raises(module.SettingsError, match=message):
        Settings(database_pol_size=3)


def test_an_unknown_name_in_a_file_is_a_warning(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / ".env").write_text("DATABASE_POOL_SIZ=2\nCOMPOSE_PROFILES=x\n")
    (root / ".env.development").write_text("SOMETHING_ELSE_ENTIRELY=1\n")
    module._warn_once.cache_clear()
    Settings()
    Settings()
    assert caplog.messages == [
        ".env: DATABASE_POOL_SIZ is not a setting; did you mean DATABASE_POOL_SIZE?",
        ".env.development: SOMETHING_ELSE_ENTIRELY is not a setting",
    ]


def test_the_example_lists_each_setting() -> None:
    example = (module.project_root() / ".env.example").read_text(encoding="utf-8")
    for name in Settings.model_fields.keys() - {"root"}:
        assert f"# {name.upper()}=" in example
