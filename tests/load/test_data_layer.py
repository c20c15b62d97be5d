"""Run the promises of the data layer under load, on databases of rendered projects.

The scripts in `data_layer/` are copied into the `tests/` of a rendered project.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.combinations import PROJECTS
from support.installing import Install, Installed, uv
from support.render import TEMPLATE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX paths")

SCRIPTS = Path(__file__).parent / "data_layer"
PROMISES = [
    ("sqlite", "common"),
    ("sqlite", "sessions"),
    ("sqlite", "sqlite"),
    ("postgresql", "common"),
    ("postgresql", "sessions"),
    ("postgresql", "postgresql"),
    ("postgresql", "pooler"),
]


@pytest.fixture(scope="module")
def loaded(install: Install) -> Callable[[str], Installed]:
    """Return a function that installs a project together with the scripts."""
    projects: dict[str, Installed] = {}

    def install_once(database: str) -> Installed:
        if database not in projects:
            projects[database] = project = install(PROJECTS[database])
            folder = project.project.path
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(SCRIPTS, folder / "tests" / "data_layer", ignore=ignored)
            pgbouncer = TEMPLATE / "tests" / "support" / "pgbouncer.py"
            shutil.copy(pgbouncer, folder / "tests" / "support")
            command = ("pip", "install", "--python", project.python, "psutil", "anyio")
            uv(project.env, *command, cwd=folder)
        return projects[database]

    return install_once


@pytest.mark.parametrize(("database", "promises"), PROMISES)
def test_promises_hold_under_load(
    loaded: Callable[[str], Installed], database: str, promises: str
) -> None:
    output = loaded(database).run(
        *("pytest", "-p", "no:cacheprovider", "-rs", f"tests/data_layer/{promises}.py"),
        PGBOUNCER_CACHE=str(TEMPLATE / ".cache" / "pgbouncer"),
    )
    if "no PgBouncer: " in output:
        pytest.skip(output[output.index("no PgBouncer: ") :].splitlines()[0])
    assert " passed" in output
