"""Measure the recall of vector search in rendered projects.

The script in `search/` is copied into the `tests/` of a rendered project.
"""

import shutil
import sys
from pathlib import Path

import pytest

from support.combinations import DATABASES
from support.installing import Install

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX paths")

SCRIPT = Path(__file__).parent / "search" / "recall.py"


@pytest.mark.parametrize("database", DATABASES)
def test_the_nearest_of_20000_are_found(installed: Install, database: str) -> None:
    project = installed({"database": database, "search": True})
    copy = project.project.path / "tests" / SCRIPT.name
    shutil.copy(SCRIPT, copy)
    try:
        output = project.run("pytest", "-p", "no:cacheprovider", "-rP", copy)
    finally:
        copy.unlink()
    assert " passed" in output
    assert output.count("recall") >= 8
