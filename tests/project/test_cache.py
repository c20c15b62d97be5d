"""Test projects with a cache: on a Redis server, without one, and without their cache."""

import shutil
import sys
from pathlib import Path

import pytest

from support import redis_server
from support.combinations import DATABASES, Answers
from support.installing import Install, uv

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX paths")
each_database = pytest.mark.parametrize("database", DATABASES)
with_and_without_api = pytest.mark.parametrize(
    "api", [True, False], ids=["with-api", "without-api"]
)


def answers(database: str, *, api: bool) -> Answers:
    """Return the answers of a project with a cache and sample models."""
    return {"database": database, "api": api, "cache": True, "sample_models": True}


@each_database
@with_and_without_api
def test_its_own_tests_of_the_cache_pass(
    installed: Install, redis_variables: dict[str, str], database: str, api: bool
) -> None:
    project = installed(answers(database, api=api))
    output = project.run(
        "pytest", "-q", "-rs", "tests/cache", cwd=None, **redis_variables
    )
    assert " passed" in output
    assert "skipped" not in output


def test_without_a_server_its_tests_are_skipped(installed: Install) -> None:
    project = installed(answers("sqlite", api=False))
    output = project.run("pytest", "-q", "-rs", "tests/cache", PATH="/nowhere")
    assert "needs TEST_REDIS_URL, or redis-server or valkey-server in PATH" in output
    assert " failed" not in output


def test_its_own_tests_pass_with_the_oldest_client(
    install: Install, redis_variables: dict[str, str]
) -> None:
    project = install(answers("sqlite", api=True))
    uv(
        project.env,
        *("pip", "install", "--python", project.python, "redis==5.2.*"),
        cwd=project.project.path,
    )
    assert " passed" in project.run(
        "pytest", "-q", "tests/cache", cwd=None, **redis_variables
    )


@each_database
@with_and_without_api
def test_without_its_cache_a_project_is_green(
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
    except redis_server.RedisUnavailableError as reason:
        if "does not run" in str(reason):
            raise
        pytest.skip(str(reason))
    with redis_server.run(variables, tmp_path):
        assert shutil.which("redis-server", path=variables["PATH"]) == str(
            tmp_path / "cache" / "usr" / "bin" / "redis-server"
        )
