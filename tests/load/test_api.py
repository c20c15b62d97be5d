"""Load the API of rendered projects with many clients, and with colliding transactions.

The scripts in `api_over_http/` are copied into the `tests/api/` of a rendered project.
"""

import shutil
import sys
from pathlib import Path

import pytest

from support.combinations import DATABASES, Answers
from support.installing import Install, Installed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX paths")

SCRIPTS = Path(__file__).parent / "api_over_http"


def install_with_scripts(install: Install, database: str) -> Installed:
    """Install a project with an API, and copy the scripts into it."""
    answers: Answers = {"database": database, "api": True, "sample_models": True}
    project = install(answers)
    # The scripts use the fixtures of the project's own tests of the API.
    folder = project.project.path / "tests" / "api" / "over_http"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SCRIPTS, folder, ignore=ignored)
    return project


@pytest.mark.parametrize("database", DATABASES)
def test_200_clients_at_once_get_no_server_error(
    install: Install, database: str
) -> None:
    output = install_with_scripts(install, database).run(
        *("pytest", "-p", "no:cacheprovider", "tests/api/over_http/load.py")
    )
    assert " passed" in output


def test_a_serialization_failure_at_commit_stores_nothing(install: Install) -> None:
    output = install_with_scripts(install, "postgresql").run(
        *("pytest", "-p", "no:cacheprovider", "tests/api/over_http/postgresql.py")
    )
    assert "1 passed" in output
