"""Tests of the command line, run as a program."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from {{cookiecutter.project_slug}}.cli import NAME
from {{cookiecutter.project_slug}}.settings import Settings

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(empty_settings: Settings, tmp_path: Path) -> Run:
    """Runs a command of the program on an empty database."""
    url = empty_settings.sqlalchemy_url
    plain = url.set(drivername=url.get_backend_name())
    settings = {"DATABASE_URL": plain.render_as_string(hide_password=False)}

    def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", NAME, *arguments],
            env=os.environ | settings | variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    return call


def test_the_database_is_migrated_from_any_folder(run: Run) -> None:
    done = run("db", "upgrade", "head")
    assert done.returncode == 0, done.stderr
    done = run("db", "check")
    assert (done.returncode, "No new upgrade" in done.stdout) == (0, True)
    done = run("doctor")
    assert done.returncode == 0, done.stdout
    assert "migrations" in done.stdout


def test_a_wrong_setting_is_one_sentence(run: Run) -> None:
    for arguments in (["doctor"], ["db", "current"]):
        done = run(*arguments, DATABASE_POOL_SIZE="many")
        assert done.returncode != 0
        said = done.stdout + done.stderr
        assert "DATABASE_POOL_SIZE: Input should be a valid integer" in said
        assert "Traceback" not in said


def test_an_unknown_command_names_the_known_ones(run: Run) -> None:
    assert "upgrade" in run("db", "upgrad").stderr
    assert "doctor" in run("--help").stdout
    assert "upgrade" in run("db").stdout
