"""Tests of the check of Redis."""

import pytest

from {{cookiecutter.project_slug}}.cache.commands import (
    check_redis,
)


async def test_redis_that_responds_is_ok(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    assert await check_redis() == ("ok", "redis", "responds")


async def test_redis_that_does_not_respond_fails(
    own_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{own_port}")
    status, subject, message = await check_redis()
    assert (status, subject) == ("fail", "redis")
    assert message == "redis does not respond: start it or fix REDIS_URL"


async def test_unset_redis_url_is_ok() -> None:
    status, subject, message = await check_redis()
    assert (status, subject) == ("ok", "redis")
    assert "set REDIS_URL" in message
