"""Tests of the part of the tour that searches."""

import pytest

from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.search.tour import tour


async def test_the_tour_finds_the_text_about_looms_and_can_be_taken_twice(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await tour(database)
    first = capsys.readouterr().out.splitlines()
    await tour(database)
    second = capsys.readouterr().out.splitlines()
    assert "the loom weaves flowers" in first[1]
    assert first[1:] == second[1:]
    assert first[0] != second[0]
