"""Slow tests of what commands say where something is wrong: a sentence, and what mends it."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from baking import run
from combinations import DATABASES, Answers
from installing import Install, Installed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="runs make and POSIX paths"),
]
each_database = pytest.mark.parametrize("database", DATABASES)

MIGRATE = "make migrate"
CORRECT = "DATABASE_URL"
PASSWORD = "a-wrong-guess"

# Addresses, and what mends that they are wrong. At the first one the tables are missing; the
# others name what is no file, no database, no server, no host, or not the password.
WRONG = {
    "sqlite": [
        ("{right}", MIGRATE),
        ("sqlite:///{folder}", CORRECT),
        ("sqlite:///{folder}/pyproject.toml", CORRECT),
    ],
    "postgresql": [
        ("{right}", MIGRATE),
        ("postgresql://postgres:{guess}@127.0.0.1:1/app", "make database"),
        ("postgresql://postgres:{guess}@nowhere.invalid/app", CORRECT),
        ("{right_with_a_guess}", CORRECT),
        ("{right}_of_others", CORRECT),
    ],
}


@contextmanager
def served(project: Installed) -> Iterator[str]:
    """Give the address of an empty database, with a server where it needs one."""
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


def first_warnings(scene: "Scene") -> list[str]:
    """Serve the API until it has said that it is not ready; return what it said of it."""
    said: list[str] = []
    with subprocess.Popen(
        [scene.project.python, "-m", f"{scene.project.project.slug}.api"],
        cwd=scene.folder,
        env={**scene.project.env, **scene.variables, "API_PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            entry = json.loads(line)
            if entry["level"] == "warning":
                said.append(entry["message"])
            if entry["message"] == "Application startup complete.":
                break
        process.send_signal(signal.SIGTERM)
    return said


def check(said: str, mend: str) -> None:
    """Check that it is one sentence, which says what mends it, and tells no secret."""
    (line,) = said.splitlines()
    assert mend in line
    assert "Error" not in line
    assert PASSWORD not in line


class Scene:
    """A project in which something is wrong, on a machine without Docker and uv."""

    def __init__(self, project: Installed, programs: Path) -> None:
        """Begin with what is right."""
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

    def run(self, *module: str, status: int, **variables: str) -> str:
        """Run a module that fails, and return what it said."""
        done = run(
            self.project.python,
            "-m",
            *module,
            cwd=self.folder,
            env=self.project.env | self.variables | variables,
            status=status,
        )
        said = done.stdout + done.stderr
        assert "Traceback" not in said
        return said

    def alembic(self, *arguments: str) -> str:
        """Run a command of Alembic that fails, and return its last word."""
        said = self.run("alembic", *arguments, status=255)
        (why,) = (each for each in said.splitlines() if each.startswith("FAILED: "))
        return why

    def doctor(self, **variables: str) -> dict[str, str]:
        """Run the doctor, and return its lines by what it has looked at."""
        done = run(
            *("make", "doctor", f"PYTHON={self.project.python}"),
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
        lines = done.stdout.splitlines()
        fails = any(line.startswith("fail ") for line in lines)
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return {line.split()[1]: line for line in lines}


@each_database
def test_each_failure_is_said_in_a_sentence_with_what_mends_it(
    tmp_path: Path, install: Install, database: str
) -> None:
    answers: Answers = {"database": database, "api": True, "sample_models": True}
    scene = Scene(install(answers), tmp_path / "programs")
    slug = scene.project.project.slug

    # To look starts nothing and makes nothing.
    found = scene.doctor()
    for what in ("docker", "uv"):
        assert re.match(f"ok +{what} +not there, and not needed: ", found[what])
    assert {line.split()[0] for line in found.values()} == {"ok"}
    assert not (scene.folder / "data").exists()

    with served(scene.project) as right:
        user, _, rest = right.partition("@")
        known = {
            "right": right,
            "folder": scene.folder,
            "guess": PASSWORD,
            "right_with_a_guess": f"{user.rpartition(':')[0]}:{PASSWORD}@{rest}",
        }
        for address, mend in WRONG[database]:
            scene.variables = {"DATABASE_URL": address.format(**known)}
            check(scene.run(slug, status=1), mend)
            warnings = first_warnings(scene)
            assert any(mend in each for each in warnings), warnings
            assert PASSWORD not in "".join(warnings)
            found = scene.doctor()
            if mend == MIGRATE:
                assert found["migrations"].startswith("warn ")
                check(found["migrations"], mend)
            else:
                assert found["database"].startswith("fail ")
                check(found["database"], mend)
                check(scene.alembic("upgrade", "head"), mend)

        scene.variables = {"DATABASE_URL": right}
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            check(scene.run(f"{slug}.api", status=1, API_PORT=port), "API_PORT=8001")
            assert scene.doctor(API_PORT=port)["port"].startswith("warn ")

        scene.run("alembic", "revision", "-m", "mine", status=0)
        (first,) = scene.folder.rglob("versions/*create_sample_tables.py")
        head = first.name.split("-")[1][:12]
        theirs = ("-m", "theirs", "--head", head, "--splice")
        scene.run("alembic", "revision", *theirs, status=0)
        check(scene.alembic("upgrade", "head"), "alembic merge heads")
        check(scene.doctor()["migrations"], "alembic merge heads")
