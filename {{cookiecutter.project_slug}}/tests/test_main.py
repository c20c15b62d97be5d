"""Tests of the tour."""

import pytest

from {{cookiecutter.project_slug}}.__main__ import tour
from {{cookiecutter.project_slug}}.database import Database


async def test_the_tour_can_be_taken_twice(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await tour(database)
    first = capsys.readouterr().out.splitlines()
    await tour(database)
    second = capsys.readouterr().out.splitlines()
    assert first
    assert first[1:] == second[1:]
