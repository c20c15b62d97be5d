"""Test the messages of commands that fail: one sentence with the fix, and no secret."""

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.combinations import DATABASES, Answers
from support.installing import Install, Installed
from support.migrating import failure_line
from support.render import run

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="uses make and POSIX paths"
)
each_database = pytest.mark.parametrize("database", DATABASES)

MIGRATE = "db upgrade head"
CHECK_URL = "DATABASE_URL"
PASSWORD = "a-wrong-guess"

# URLs, each with the fix that commands name. The first database has no tables; the others are
# a folder, no database file, no server, no host, a wrong password, no database.
FIXES = {
    "sqlite": [
        ("{right}", MIGRATE),
        ("sqlite:///{folder}", CHECK_URL),
        ("sqlite:///{folder}/pyproject.toml", CHECK_URL),
    ],
    "postgresql": [
        ("{right}", MIGRATE),
        ("postgresql://postgres:{guess}@127.0.0.1:1/app", "make database"),
        ("postgresql://postgres:{guess}@nowhere.invalid/app", CHECK_URL),
        ("{right_with_a_guess}", CHECK_URL),
        ("{right}_of_others", CHECK_URL),
    ],
}


@contextmanager
def empty_database(project: Installed) -> Iterator[str]:
    """Yield the URL of an empty database, and run the server that it may need."""
    folder = project.project.path
    if project.project.answers["database"] == "sqlite":
        path = folder / "data" / "empty.db"
        path.parent.mkdir()
        path.touch()
        yield f"sqlite:///{path}"
        return
    with subprocess.Popen(
        [project.python, "-u", folder / "scripts" / "embedded_postgres.py"],
        cwd=folder,
        env=project.env,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout
            yield server.stdout.readline().strip().removeprefix("DATABASE_URL=")
        finally:
            server.send_signal(signal.SIGINT)


def startup_warnings(broken: "BrokenProject") -> list[str]:
    """Start the API, and return the warnings that it logs until it is started."""
    warnings: list[str] = []
    with subprocess.Popen(
        [broken.project.python, "-m", broken.project.project.slug, "serve"],
        cwd=broken.folder,
        env={**broken.project.env, **broken.variables, "API_PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            entry = json.loads(line)
            if entry["level"] == "warning":
                warnings.append(entry["message"])
            if entry["message"] == "Application startup complete.":
                break
        process.send_signal(signal.SIGTERM)
    return warnings


BOX = """'''Boxes.'''

from ..db import Model


class Box(Model):
    '''A box.'''
"""


def check(output: str, fix: str) -> None:
    """Check that a message is one line with the fix and without a secret."""
    (line,) = output.splitlines()
    assert fix in line
    assert "Error" not in line
    assert PASSWORD not in line


class BrokenProject:
    """A project with a wrong setting, on a machine without Docker and uv."""

    def __init__(self, project: Installed, programs: Path) -> None:
        """Take an installed project, still with the right settings."""
        self.project = project
        self.folder = project.project.path
        self.variables: dict[str, str] = {}
        (self.folder / ".venv" / "installed").touch()
        programs.mkdir()
        for name in ("make", "sh", "env"):
            program = shutil.which(name, path=project.env["PATH"])
            assert program
            (programs / name).symlink_to(program)
        self.programs = programs

    def python(self, *arguments: str, status: int, **variables: str) -> str:
        """Run Python with a script or module, and return its output."""
        done = run(
            self.project.python,
            *arguments,
            cwd=self.folder,
            env=self.project.env | self.variables | variables,
            status=status,
        )
        output = done.stdout + done.stderr
        assert "Traceback" not in output
        return output

    def alembic(self, *arguments: str) -> str:
        """Run an Alembic command that fails, and return its message."""
        return failure_line(self.python("-m", "alembic", *arguments, status=255))

    def make(self, target: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a target of the Makefile."""
        done = run(
            *("make", target, f"PYTHON={self.project.python}"),
            cwd=self.folder,
            env={
                **self.project.env,
                **self.variables,
                **variables,
                "PATH": str(self.programs),
            },
            status=None,
        )
        assert "Traceback" not in done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        return done

    def doctor(self, **variables: str) -> dict[str, str]:
        """Run `make doctor`, and return its lines by subject."""
        done = self.make("doctor", **variables)
        lines = done.stdout.splitlines()
        fails = any(line.startswith("fail ") for line in lines)
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return {line.split()[1]: line for line in lines}


@each_database
def test_each_failure_is_one_sentence_with_the_fix(
    tmp_path: Path, install: Install, database: str
) -> None:
    answers: Answers = {"database": database, "api": True, "sample_models": True}
    broken = BrokenProject(install(answers), tmp_path / "programs")
    slug = broken.project.project.slug

    # The doctor starts and creates nothing.
    found = broken.doctor()
    assert {line.split()[0] for line in found.values()} == {"ok"}
    assert not (broken.folder / "data").exists()

    with empty_database(broken.project) as right:
        user, _, rest = right.partition("@")
        known = {
            "right": right,
            "folder": broken.folder,
            "guess": PASSWORD,
            "right_with_a_guess": f"{user.rpartition(':')[0]}:{PASSWORD}@{rest}",
        }
        for url, fix in FIXES[database]:
            broken.variables = {"DATABASE_URL": url.format(**known)}
            check(broken.python("-m", slug, "seed", status=1), fix)
            check(broken.python("examples/quickstart.py", status=1), fix)
            warnings = startup_warnings(broken)
            assert any(fix in each for each in warnings), warnings
            assert PASSWORD not in "".join(warnings)
            found = broken.doctor()
            if fix == MIGRATE:
                assert found["migrations"].startswith("warn ")
                check(found["migrations"], fix)
            else:
                assert found["database"].startswith("fail ")
                check(found["database"], fix)
                check(broken.alembic("upgrade", "head"), fix)

        broken.variables = {"DATABASE_URL": right}
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            output = broken.python("-m", slug, "serve", status=1, API_PORT=port)
            check(output, "API_PORT=8001")
            assert broken.doctor(API_PORT=port)["port"].startswith("warn ")

        done = broken.make("migrate")
        assert done.returncode == 0 and "No new upgrade operations" in done.stdout
        assert broken.doctor()["models"].startswith("ok ")
        package = broken.project.project.package
        (package / "models" / "box.py").write_text(BOX, encoding="utf-8")
        done = broken.make("migrate")
        change = "boxes: the models say a table, the database has nothing"
        assert done.returncode == 0 and change in done.stdout
        assert 'make migration m="…"' in done.stdout.splitlines()[-1]
        assert broken.doctor()["models"].startswith(
            f"warn  models      {change}; alembic"
        )
        (package / "models" / "box.py").unlink()

        broken.python("-m", "alembic", "revision", "-m", "mine", status=0)
        (first,) = broken.folder.rglob("versions/*create_sample_tables.py")
        head = first.name.split("-")[1][:12]
        theirs = ("-m", "theirs", "--head", head, "--splice")
        broken.python("-m", "alembic", "revision", *theirs, status=0)
        check(broken.alembic("upgrade", "head"), "alembic merge heads")
        check(broken.doctor()["migrations"], "alembic merge heads")
