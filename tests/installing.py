"""Installs rendered projects, each in an environment of its own."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from baking import TEMPLATE, Bake, BakedProject, run
from baking import environment as environment_of
from combinations import Answers

UV_SETTINGS = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1", "UV_LINK_MODE": "hardlink"}
MEMORY = Path("/dev/shm")


@cache
def in_memory() -> dict[str, str]:
    """Give the variables that keep temporary files in memory, if there is room for them."""
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 2**32
    return {"TMPDIR": str(MEMORY)} if roomy else {}


@dataclass(frozen=True)
class Installed:
    """A project with an environment of its own, which uv made."""

    project: BakedProject
    env: dict[str, str]

    @property
    def python(self) -> Path:
        """The Python that has the project and its tools."""
        return self.project.path / ".venv" / "bin" / "python"

    def run(
        self, *command: str | Path, cwd: Path | None = None, **variables: str
    ) -> str:
        """Run a module of the environment, and return what it said."""
        # With PostgreSQL a test makes a database of 300 files: slow on some disks.
        on_server = self.project.answers["database"] == "postgresql"
        done = run(
            *(self.python, "-m", *command),
            cwd=cwd or self.project.path,
            env=self.env | (in_memory() if on_server else {}) | variables,
        )
        return done.stdout + done.stderr

    def served(self, *command: str | Path, cwd: Path | None = None) -> str:
        """Run any command with the project's database: PostgreSQL brings its server along."""
        if self.project.answers["database"] == "postgresql":
            script = self.project.path / "scripts" / "embedded_postgres.py"
            command = (self.python, script, *command)
        done = run(*command, cwd=cwd or self.project.path, env=self.env)
        return done.stdout + done.stderr

    def alembic(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        """Run the plain alembic command."""
        return self.served(self.python.with_name("alembic"), *arguments, cwd=cwd)


def uv(env: dict[str, str], *arguments: str | Path, cwd: Path) -> str:
    """Run the template's own uv, with the certificates of the system."""
    command = (sys.executable, "-m", "uv", *arguments)
    return run(*command, cwd=cwd, env=UV_SETTINGS | env).stdout


def install_project(
    folder: Path,
    env: dict[str, str],
    *options: str,
    python: str | Path = sys.executable,
) -> None:
    """Give a project an environment with all that it needs, as its `.venv`, or renew it.

    Args:
        folder: The project.
        env: The variables of `uv_environment`.
        options: For uv, about which versions to take.
        python: The Python of a new environment.
    """
    inside = folder / ".venv" / "bin" / "python"
    if not inside.exists():
        uv(env, "venv", "--python", python, ".venv", cwd=folder)
    install = ("pip", "install", "--python", inside, "--editable", ".")
    uv(env, *install, "--group", "dev", *options, cwd=folder)


@pytest.fixture(scope="session")
def uv_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of all that uv does, with a cache that later runs find again."""
    cache = os.environ.get("UV_CACHE_DIR", str(TEMPLATE / ".cache" / "uv"))
    return environment_of(tmp_path_factory.mktemp("home"), UV_CACHE_DIR=cache)


@pytest.fixture(scope="session")
def install(
    bake: Bake, uv_environment: dict[str, str]
) -> Callable[[Answers], Installed]:
    """Give a function that renders and installs a project that may be changed."""

    def make(answers: Answers) -> Installed:
        project = bake(**answers)
        assert project.exception is None, project.exception
        install_project(project.path, uv_environment)
        return Installed(project, uv_environment)

    return make


@pytest.fixture(scope="session")
def installed(
    install: Callable[[Answers], Installed],
) -> Callable[[Answers], Installed]:
    """Give the same function with a memory: nobody may change what it returns."""
    memory: dict[tuple[tuple[str, str | bool], ...], Installed] = {}

    def remember(answers: Answers) -> Installed:
        key = tuple(sorted(answers.items()))
        if key not in memory:
            memory[key] = install(answers)
        return memory[key]

    return remember


Install = Callable[[Answers], Installed]
