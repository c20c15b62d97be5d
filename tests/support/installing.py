"""Install rendered projects, each into its own environment."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from support.combinations import Answers
from support.render import TEMPLATE, Render, RenderedProject, clean_environment, run

UV_SETTINGS = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1", "UV_LINK_MODE": "hardlink"}
TMPFS = Path("/dev/shm")
TMPFS_MIN_BYTES = 2**32


@cache
def tmpfs_variables() -> dict[str, str]:
    """Return the variables that put temporary files in memory, if memory has room for them."""
    roomy = (
        os.access(TMPFS, os.W_OK) and shutil.disk_usage(TMPFS).free > TMPFS_MIN_BYTES
    )
    return {"TMPDIR": str(TMPFS)} if roomy else {}


@dataclass(frozen=True)
class Installed:
    """A project installed into an environment that uv created."""

    project: RenderedProject
    env: dict[str, str]

    @property
    def python(self) -> Path:
        """The Python of the project's environment."""
        return self.project.path / ".venv" / "bin" / "python"

    def run(
        self, *command: str | Path, cwd: Path | None = None, **variables: str
    ) -> str:
        """Run a module of the environment and return its output."""
        # A test on PostgreSQL creates a database of 300 files, which some disks are slow at.
        on_server = self.project.answers["database"] == "postgresql"
        done = run(
            *(self.python, "-m", *command),
            cwd=cwd or self.project.path,
            env=self.env | (tmpfs_variables() if on_server else {}) | variables,
        )
        return done.stdout + done.stderr

    def run_with_database(self, *command: str | Path, cwd: Path | None = None) -> str:
        """Run any command with the project's database, and its embedded server if it has one."""
        if self.project.answers["database"] == "postgresql":
            script = self.project.path / "scripts" / "embedded_postgres.py"
            command = (self.python, script, *command)
        done = run(*command, cwd=cwd or self.project.path, env=self.env)
        return done.stdout + done.stderr

    def alembic(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        """Run the `alembic` command."""
        command = (self.python.with_name("alembic"), *arguments)
        return self.run_with_database(*command, cwd=cwd)


def uv(env: dict[str, str], *arguments: str | Path, cwd: Path) -> str:
    """Run the template's own uv with the system's certificates."""
    command = (sys.executable, "-m", "uv", *arguments)
    return run(*command, cwd=cwd, env=UV_SETTINGS | env).stdout


def install_project(
    folder: Path,
    env: dict[str, str],
    *options: str,
    python: str | Path = sys.executable,
) -> None:
    """Create or update the `.venv` of a project with everything that it needs.

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
    """Variables for every call of uv, with a cache that survives the run."""
    cache = os.environ.get("UV_CACHE_DIR", str(TEMPLATE / ".cache" / "uv"))
    return clean_environment(tmp_path_factory.mktemp("home"), UV_CACHE_DIR=cache)


Install = Callable[[Answers], Installed]


@pytest.fixture(scope="session")
def install(render: Render, uv_environment: dict[str, str]) -> Install:
    """Return a function that renders and installs a project; tests may change the project."""

    def install_fresh(answers: Answers) -> Installed:
        project = render(**answers)
        assert project.exception is None, project.exception
        install_project(project.path, uv_environment)
        return Installed(project, uv_environment)

    return install_fresh


@pytest.fixture(scope="session")
def installed(install: Install) -> Install:
    """Return the same function with a memory; tests must not change the project."""
    projects: dict[tuple[tuple[str, str | bool], ...], Installed] = {}

    def install_once(answers: Answers) -> Installed:
        key = tuple(sorted(answers.items()))
        if key not in projects:
            projects[key] = install(answers)
        return projects[key]

    return install_once
