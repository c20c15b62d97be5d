"""Tests of the command line, the checks of `doctor`, and the quickstart."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from {{cookiecutter.project_slug}} import health
from {{cookiecutter.project_slug}}.cli import NAME
from {{cookiecutter.project_slug}}.db import Database
from {{cookiecutter.project_slug}}.settings import Settings

import quickstart

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(empty_settings: Settings, tmp_path: Path) -> Run:
    """Runs a command on an empty database; returns its exit code and its output."""
    url = empty_settings.sqlalchemy_url.render_as_string(hide_password=False)

    def call(command: str, **variables: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", NAME, *command.split()],
            env={**os.environ, "DATABASE_URL": url, **variables},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    return call


def test_the_database_is_migrated_from_any_folder(run: Run) -> None:
    for command, expected in (
        ("db upgrade head", ""),
        ("db check", "No new upgrade"),
        ("doctor", "migrations"),
    ):
        code, said = run(command)
        assert code == 0, said
        assert expected in said


@pytest.mark.parametrize("command", ["doctor", "db current"])
def test_a_wrong_setting_is_one_sentence(run: Run, command: str) -> None:
    code, said = run(command, DATABASE_POOL_SIZE="many")
    assert code != 0
    assert "DATABASE_POOL_SIZE: Input should be a valid integer" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("command", "code", "named"),
    [("db upgrad", 2, "upgrade"), ("--help", 0, "doctor"), ("db", 0, "upgrade")],
)
def test_an_unknown_command_names_the_known_ones(
    run: Run, command: str, code: int, named: str
) -> None:
    ended, said = run(command)
    assert (ended, named in said) == (code, True)


async def results(settings: Settings) -> dict[str, tuple[str, str]]:
    """Return status and message of the core's checks, by their subject."""
    names = ("settings", "database", "migrations")
    found = [each async for each in health.diagnose(settings)]
    return {each.subject: each[::2] for each in found if each.subject in names}


async def test_a_migrated_database_is_ready(
    database: Database, settings: Settings
) -> None:
    found = await results(settings)
    assert [*found] == ["settings", "database", "migrations"]
    assert {status for status, _ in found.values()} == {"ok"}
    assert await health.run_checks(health.database_checks(database)) == {}


async def test_a_wrong_url_fails(wrong_settings: Settings) -> None:
    status, message = (await results(wrong_settings))["database"]
    assert status == "fail"
    assert "DATABASE_URL" in message


async def test_a_revision_that_the_code_lacks_fails(
    database: Database, settings: Settings
) -> None:
    async with database.transaction() as session:
        for statement in (
            # The table is missing while there is no migration.
            "CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32))",
            "DELETE FROM alembic_version",
            "INSERT INTO alembic_version VALUES ('other')",
        ):
            await session.execute(text(statement))
    status, message = (await results(settings))["migrations"]
    assert status == "fail"
    assert "revision other, which this code does not have" in message
    checks = health.database_checks(database)
    assert [*await health.run_checks(checks)] == ["migrations"]


async def test_the_quickstart_runs_twice(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(quickstart, "Settings", lambda: settings)
    said = []
    for _ in range(2):
        await quickstart.main()
        said.append(capsys.readouterr().out.splitlines())
    assert said[0]
    assert said[0][1:] == said[1][1:]
