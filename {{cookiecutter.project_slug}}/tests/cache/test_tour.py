"""Tests of what the tour shows of the cache."""

import pytest

from {{cookiecutter.project_slug}}.cache.tour import tour
from {{cookiecutter.project_slug}}.database import Database


async def test_the_tour_loads_finds_and_loads_again_and_can_be_taken_twice(
    database: Database,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    for _ in range(2):
        await tour(database)
        assert capsys.readouterr().out.splitlines() == [
            "cache     nothing is there: loaded",
            "cache     asked again: found",
            "cache     invalidated: loaded",
        ]


@pytest.mark.parametrize("set_address", [True, False])
async def test_without_redis_the_tour_says_so_in_one_line(
    database: Database,
    own_port: int,
    set_address: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address = f"redis://127.0.0.1:{own_port}" if set_address else ""
    monkeypatch.setenv("REDIS_URL", address)
    await tour(database)
    said = "redis does not answer" if set_address else "set REDIS_URL to"
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"cache     {said}")
