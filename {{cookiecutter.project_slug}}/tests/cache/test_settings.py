"""Tests of the settings of the cache."""

import pytest

from {{cookiecutter.project_slug}}.cache.client import Cache
from {{cookiecutter.project_slug}}.cache.settings import (
    CacheSettings,
)
from {{cookiecutter.project_slug}}.settings import (
    SettingsError,
    project_root,
)


def test_redis_url_is_optional() -> None:
    assert CacheSettings(_env_file=None).redis_url is None
    assert CacheSettings(_env_file=None, redis_url="").redis_url is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1",
        "redis://user:secret@127.0.0.1:6379/3",
        "rediss://:secret@cache.example.com",
        "unix:///run/redis.sock?db=1",
    ],
)
def test_redis_url_takes_every_form_of_redis_py(url: str) -> None:
    settings = CacheSettings(_env_file=None, redis_url=url)
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == url


@pytest.mark.parametrize(
    "url",
    [
        "secret",
        "http://:secret@127.0.0.1",
        "redis://:sec/ret@127.0.0.1:6379",
        "redis://:secret@127.0.0.1:6379/0?database=1",
        "redis://:secret@127.0.0.1:6379/0?db=one",
    ],
)
def test_invalid_redis_url_is_one_line_without_the_password(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^REDIS_URL: expected .*$") as caught:
        CacheSettings(_env_file=None, redis_url=url)
    assert "sec" not in str(caught.value)


def test_repr_hides_the_password() -> None:
    settings = CacheSettings(_env_file=None, redis_url="redis://:secret@127.0.0.1")
    assert "secret" not in repr(settings)
    assert "secret" not in repr(vars(Cache(settings)))


def test_env_example_lists_every_setting() -> None:
    example = (project_root() / ".env.example").read_text(encoding="utf-8")
    for name in CacheSettings.model_fields:
        if name.startswith(("redis", "cache")):
            assert f"# {name.upper()}=" in example
