"""Tests of examples/quickstart.py."""

import pytest

from {{cookiecutter.project_slug}}.settings import Settings

import quickstart


async def test_the_quickstart_runs_twice(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(quickstart, "Settings", lambda: settings)
    await quickstart.main()
    first = capsys.readouterr().out.splitlines()
    await quickstart.main()
    second = capsys.readouterr().out.splitlines()
    assert first
    assert first[1:] == second[1:]
