"""Tests of the settings of the API."""

import pytest

from {{cookiecutter.project_slug}}.api.settings import ApiSettings
from {{cookiecutter.project_slug}}.settings import (
    Settings,
    SettingsError,
    project_root,
)


def test_every_setting_has_a_default() -> None:
    settings = ApiSettings(_env_file=None)
    assert (settings.api_host, settings.api_port) == ("127.0.0.1", 8000)
    assert settings.api_token is None


def test_an_empty_token_is_none() -> None:
    assert ApiSettings(_env_file=None, api_token="").api_token is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_TOKEN", "guess"),
        ("API_TOKEN", "sixteen characters with spaces"),
        ("API_TOKEN", "sechzehn-zeichen-mit-ü"),
        ("API_PORT", "70000"),
        ("API_PAGE_SIZE", "0"),
        ("API_TIMEOUT", "0"),
        ("API_MAX_BODY", "-1"),
    ],
)
def test_an_invalid_value_gives_one_line_with_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: [^\n]+$") as caught:
        ApiSettings(_env_file=None)
    assert name != "API_TOKEN" or value not in str(caught.value)


def test_env_example_has_every_setting() -> None:
    example = (project_root() / ".env.example").read_text(encoding="utf-8")
    for name in ApiSettings.model_fields.keys() - Settings.model_fields.keys():
        assert f"# {name.upper()}=" in example
