"""Test the data layer with the oldest SQLAlchemy, and its types with pyright."""

import sys
from pathlib import Path

import pytest

from support.combinations import DATABASES, PROJECTS
from support.installing import Install, uv

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX paths")
each_database = pytest.mark.parametrize("database", DATABASES)


@each_database
def test_the_oldest_series_of_sqlalchemy_works(install: Install, database: str) -> None:
    project = install(PROJECTS[database])
    uv(
        project.env,
        *("pip", "install", "--python", project.python, "sqlalchemy[asyncio]<2.1"),
        cwd=project.project.path,
    )
    assert " passed" in project.run("pytest", "-p", "no:cacheprovider")
    project.run("mypy")


@each_database
def test_pyright_infers_the_model_of_a_repository(
    tmp_path: Path, install: Install, database: str
) -> None:
    project = install(PROJECTS[database])
    command = ("pip", "install", "--python", project.python, "pyright[nodejs]")
    uv(project.env, *command, cwd=project.project.path)
    checked = project.project.package / "checked.py"
    checked.write_text(
        "from .db import Database, Repository\n"
        "from .models import User\n\n\n"
        "async def first(database: Database) -> str:\n"
        "    async with database.read_session() as session:\n"
        "        user = await Repository[User](session).get(1)\n"
        "    reveal_type(user)\n"
        "    return user.name\n"
    )
    output = project.run("pyright", "--pythonpath", project.python, "src")
    assert '"user" is "User"' in output
    assert "0 errors" in output
