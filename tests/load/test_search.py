"""Measure the recall of vector search in rendered projects.

The script in `search/` is copied into the `tests/` of a rendered project.
"""

import shutil
import sys
from pathlib import Path

import pytest

from support.combinations import DATABASES
from support.installing import Install, uv

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX paths")

SCRIPT = Path(__file__).parent / "search" / "recall.py"


@pytest.mark.parametrize("database", DATABASES)
def test_the_nearest_of_20000_are_found(install: Install, database: str) -> None:
    project = install({"database": database, "search": True})
    # A project on PostgreSQL has no NumPy.
    command = ("pip", "install", "--python", project.python, "numpy")
    uv(project.env, *command, cwd=project.project.path)
    copy = project.project.path / "tests" / SCRIPT.name
    shutil.copy(SCRIPT, copy)
    output = project.run("pytest", "-p", "no:cacheprovider", "-rP", copy)
    assert " passed" in output
    assert output.count("recall") >= 8
