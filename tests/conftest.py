"""What the tests share: rendering, once per combination, far from the user's home folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from baking import AT_ONCE, TEMPLATE, Bake, BakedProject
from installing import install, installed, uv_environment  # noqa: F401 - fixtures
from pytest_cookies.plugin import Cookies


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-tree",
        action="store_true",
        help="write down which files each project has instead of comparing with it",
    )


def pytest_xdist_auto_num_workers() -> int:
    """Say how many processes `-n auto` means."""
    return AT_ONCE


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty home folder: cookiecutter reads its settings there, and writes replays."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.setenv("USERPROFILE", str(folder))
        for name in ("COOKIECUTTER_CONFIG", "VIRTUAL_ENV", "PYTHONPATH", "MAKEFLAGS"):
            patch.delenv(name, raising=False)
        yield folder


@pytest.fixture(scope="session")
def bake(home: Path, cookies_session: Cookies) -> Bake:
    """Give a function that renders a project from the answers that it is given."""

    def render(**answers: str | bool) -> BakedProject:
        result = cookies_session.bake(extra_context=answers, template=str(TEMPLATE))
        return BakedProject(
            path=result.project_path or Path(),
            answers=answers,
            exit_code=result.exit_code,
            exception=result.exception,
        )

    return render


@pytest.fixture(scope="session")
def baked(bake: Bake) -> Bake:
    """Give the same function with a memory: nobody may change what it returns."""
    memory: dict[tuple[tuple[str, str | bool], ...], BakedProject] = {}

    def remember(**answers: str | bool) -> BakedProject:
        key = tuple(sorted(answers.items()))
        if key not in memory:
            memory[key] = bake(**answers)
        project = memory[key]
        assert (
            project.exception is None
        ), f"{answers} did not render: {project.exception!r}"
        return project

    return remember
