"""Slow tests of the data layer of rendered projects, on real databases and under load.

What they run lies in `data_layer/` and goes into the `tests/` of a rendered project.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from baking import TEMPLATE
from combinations import PROJECTS
from installing import Install, Installed, uv

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="runs POSIX paths"),
]

PROMISES = [
    ("sqlite", "both"),
    ("sqlite", "sqlite"),
    ("postgresql", "both"),
    ("postgresql", "postgresql"),
    ("postgresql", "pooler"),
]


@pytest.fixture(scope="module")
def loaded(install: Install) -> Callable[[str], Installed]:
    """Give a function that renders and installs a project with the tests of the load."""
    memory: dict[str, Installed] = {}

    def make(database: str) -> Installed:
        if database not in memory:
            memory[database] = project = install(PROJECTS[database])
            folder = project.project.path
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(
                TEMPLATE / "tests" / "data_layer",
                folder / "tests" / "data_layer",
                ignore=ignored,
            )
            shutil.copy(TEMPLATE / "tests" / "pgbouncer.py", folder / "tests")
            command = ("pip", "install", "--python", project.python, "psutil")
            uv(project.env, *command, cwd=folder)
        return memory[database]

    return make


@pytest.mark.parametrize(("database", "promises"), PROMISES)
def test_promises_hold_under_load(
    loaded: Callable[[str], Installed], database: str, promises: str
) -> None:
    said = loaded(database).run(
        *("pytest", "-p", "no:cacheprovider", "-rs", f"tests/data_layer/{promises}.py"),
        PGBOUNCER_CACHE=str(TEMPLATE / ".cache" / "pgbouncer"),
    )
    if "no PgBouncer: " in said:
        pytest.skip(said[said.index("no PgBouncer: ") :].splitlines()[0])
    assert " passed" in said


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_oldest_series_of_sqlalchemy_does_as_well(
    install: Install, database: str
) -> None:
    project = install(PROJECTS[database])
    uv(
        project.env,
        *("pip", "install", "--python", project.python, "sqlalchemy[asyncio]<2.1"),
        cwd=project.project.path,
    )
    assert " passed" in project.run("pytest", "-p", "no:cacheprovider")
    project.run("mypy")


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_pyright_sees_through_it(
    tmp_path: Path, install: Install, database: str
) -> None:
    project = install(PROJECTS[database])
    command = ("pip", "install", "--python", project.python, "pyright[nodejs]")
    uv(project.env, *command, cwd=project.project.path)
    checked = project.project.package / "checked.py"
    checked.write_text(
        "from .database import Database\n"
        "from .models import User\n"
        "from .repository import Repository\n\n\n"
        "async def first(database: Database) -> str:\n"
        "    async with database.reader() as session:\n"
        "        user = await Repository[User](session).get(1)\n"
        "    reveal_type(user)\n"
        "    return user.name\n"
    )
    said = project.run("pyright", "--pythonpath", project.python, "src")
    assert '"user" is "User"' in said
    assert "0 errors" in said
