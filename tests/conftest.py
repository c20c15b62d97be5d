"""Fixtures of all tests: projects rendered once per answers, far from the user's home folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_cookies.plugin import Cookies

from support import redis_server
from support.installing import install, installed, uv_environment  # noqa: F401
from support.render import MAX_WORKERS, TEMPLATE, Render, RenderedProject


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-manifest",
        action="store_true",
        help="write tests/support/manifest.txt instead of comparing with it",
    )


def pytest_xdist_auto_num_workers() -> int:
    """Return the number of processes for `-n auto`."""
    return MAX_WORKERS


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty home folder: cookiecutter reads its settings there and writes replays."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.setenv("USERPROFILE", str(folder))
        for name in ("COOKIECUTTER_CONFIG", "VIRTUAL_ENV", "PYTHONPATH", "MAKEFLAGS"):
            patch.delenv(name, raising=False)
        yield folder


@pytest.fixture(scope="session")
def render(home: Path, cookies_session: Cookies) -> Render:
    """Return a function that renders a project from keyword answers."""

    def render_fresh(**answers: str | bool) -> RenderedProject:
        result = cookies_session.bake(extra_context=answers, template=str(TEMPLATE))
        return RenderedProject(
            path=result.project_path or Path(),
            answers=answers,
            exit_code=result.exit_code,
            exception=result.exception,
        )

    return render_fresh


@pytest.fixture(scope="session")
def rendered(render: Render) -> Render:
    """Return the same function with a memory; tests must not change the project."""
    projects: dict[tuple[tuple[str, str | bool], ...], RenderedProject] = {}

    def render_once(**answers: str | bool) -> RenderedProject:
        key = tuple(sorted(answers.items()))
        if key not in projects:
            projects[key] = render(**answers)
        project = projects[key]
        assert (
            project.exception is None
        ), f"{answers} did not render: {project.exception!r}"
        return project

    return render_once


@pytest.fixture(scope="session")
def redis_variables() -> dict[str, str]:
    """Environment variables that a Redis server needs to be found."""
    try:
        return redis_server.variables(TEMPLATE / ".cache" / "redis")
    except redis_server.RedisUnavailableError as reason:
        pytest.skip(str(reason))
