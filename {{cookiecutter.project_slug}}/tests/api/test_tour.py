"""Tests of what the tour shows of the API."""

import pytest

from {{cookiecutter.project_slug}}.api.tour import tour
from {{cookiecutter.project_slug}}.database import Database


async def test_the_tour_asks_for_all_that_is_open_and_can_be_taken_twice(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await tour(database)
    first = capsys.readouterr().out.splitlines()
    await tour(database)
    assert capsys.readouterr().out.splitlines() == first
    (line,) = first
    assert line.startswith("api       GET /health/live, /health/ready")
    assert line.endswith(": 200")
    assert "{" not in line
