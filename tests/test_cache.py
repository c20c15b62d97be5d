"""Slow tests of projects with a cache: in a real Redis, among processes, and without it."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis_server
from baking import TEMPLATE
from combinations import DATABASES, Answers
from installing import Install, uv

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="runs POSIX paths"),
]
each_database = pytest.mark.parametrize("database", DATABASES)
with_and_without_api = pytest.mark.parametrize(
    "api", [True, False], ids=["with-api", "without-api"]
)

PROCESSES = 4


def answers(database: str, *, api: bool) -> Answers:
    """Name a project with a cache and sample models."""
    return {"database": database, "api": api, "cache": True, "sample_models": True}


@pytest.fixture(scope="session")
def variables() -> dict[str, str]:
    """What has to be in the environment for a Redis server to be found."""
    try:
        return redis_server.variables(TEMPLATE / ".cache" / "redis")
    except redis_server.Unavailable as reason:
        pytest.skip(str(reason))


@contextmanager
def running(variables: dict[str, str], folder: Path) -> Iterator[str]:
    """Run a server on a free port of this machine, and give its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = ["redis-server", "--bind", "127.0.0.1", "--port", f"{port}", "--save", ""]
    program = shutil.which(command[0], path=variables["PATH"])
    assert program
    with (
        (folder / "redis.log").open("wb") as log,
        subprocess.Popen(
            [program, *command[1:]],
            cwd=folder,
            env=variables,
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            for _ in range(200):
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert process.poll() is None, (folder / "redis.log").read_text()
                    time.sleep(0.05)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


@each_database
@with_and_without_api
def test_its_own_tests_of_the_cache_pass_and_none_is_skipped(
    installed: Install, variables: dict[str, str], database: str, api: bool
) -> None:
    project = installed(answers(database, api=api))
    said = project.run("pytest", "-q", "-rs", "tests/cache", cwd=None, **variables)
    assert " passed" in said
    assert "skipped" not in said


def test_without_a_server_its_tests_are_skipped_and_say_why(installed: Install) -> None:
    project = installed(answers("sqlite", api=False))
    said = project.run("pytest", "-q", "-rs", "tests/cache", PATH="/nowhere")
    assert "needs TEST_REDIS_URL, or redis-server or valkey-server in PATH" in said
    assert " failed" not in said


def test_of_many_tasks_in_several_processes_one_loads(
    installed: Install, variables: dict[str, str], tmp_path: Path
) -> None:
    project = installed(answers("sqlite", api=False))
    loads = tmp_path / "loads.txt"
    script = TEMPLATE / "tests" / "cache" / "stampede.py"
    with running(variables, tmp_path) as address:
        command: list[str | Path] = [
            project.python,
            script,
            str(time.time() + 5),
            loads,
        ]
        processes = [
            subprocess.Popen(
                command,
                cwd=tmp_path,
                env=project.env | {"REDIS_URL": address},
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(PROCESSES)
        ]
        said = [process.communicate(timeout=60)[0] for process in processes]
    assert said == ["50 value\n"] * PROCESSES
    assert loads.read_text() == "load\n"


def test_its_own_tests_pass_with_the_oldest_client(
    install: Install, variables: dict[str, str]
) -> None:
    project = install(answers("sqlite", api=True))
    uv(
        project.env,
        *("pip", "install", "--python", project.python, "redis==5.2.*"),
        cwd=project.project.path,
    )
    assert " passed" in project.run(
        "pytest", "-q", "tests/cache", cwd=None, **variables
    )


@each_database
@with_and_without_api
def test_a_project_whose_cache_is_deleted_is_whole(
    install: Install, database: str, api: bool
) -> None:
    project = install(answers(database, api=api))
    path, slug = project.project.path, project.project.slug
    shutil.rmtree(path / "src" / slug / "cache")
    shutil.rmtree(path / "tests" / "cache")
    uv(
        project.env,
        *("pip", "uninstall", "--python", project.python, "redis"),
        cwd=path,
    )
    project.run("black", "--check", ".")
    project.run("ruff", "check", "--no-cache", ".")
    project.run("mypy")
    assert " passed" in project.run("pytest", "-q")
    project.alembic("upgrade", "head")
    assert "No new upgrade operations" in project.alembic("check")


def test_a_machine_without_redis_unpacks_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("apt-get", "dpkg", "dpkg-deb", "rm", "sh", "tar"):
        if found := shutil.which(name):
            (commands / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(commands))
    try:
        variables = redis_server.variables(tmp_path / "cache")
    except redis_server.Unavailable as reason:
        if "does not run" in str(reason):
            raise
        pytest.skip(str(reason))
    with running(variables, tmp_path):
        assert shutil.which("redis-server", path=variables["PATH"]) == str(
            tmp_path / "cache" / "usr" / "bin" / "redis-server"
        )
