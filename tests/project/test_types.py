"""Test the types and the diagram of every render, beside all dependencies."""

import sys
import tomllib
from pathlib import Path

import pytest

from support.combinations import ENDS, PROJECTS, Answers
from support.installing import uv
from support.render import Render, run


@pytest.fixture(scope="module")
def everything(
    tmp_path_factory: pytest.TempPathFactory,
    rendered: Render,
    uv_environment: dict[str, str],
) -> Path:
    """A Python with the dependencies of all projects, and no project."""
    folder = tmp_path_factory.mktemp("everything")
    wanted = set()
    for answers in ENDS.values():
        pyproject = tomllib.loads(rendered(**answers).read("pyproject.toml"))
        wanted |= {
            *pyproject["project"]["dependencies"],
            *pyproject["dependency-groups"]["dev"],
        }
    uv(uv_environment, "venv", "--python", sys.executable, folder, cwd=folder)
    python = folder / "bin" / "python"
    uv(
        uv_environment,
        *("pip", "install", "--python", python, *sorted(wanted)),
        cwd=folder,
    )
    return python


@pytest.mark.skipif(sys.platform == "win32", reason="names POSIX paths")
@pytest.mark.parametrize("answers", PROJECTS.values(), ids=PROJECTS)
def test_types_hold(
    everything: Path, rendered: Render, uv_environment: dict[str, str], answers: Answers
) -> None:
    run(
        *(everything, "-m", "mypy", "--strict"),
        # The cache of the libraries serves all projects.
        *("--cache-dir", everything.parents[1] / "cache"),
        cwd=rendered(**answers).path,
        env=uv_environment | {"MYPYPATH": "src"},
    )


# The API and the cache have no models, so they do not change the diagram.
MODELS = {
    name: answers
    for name, answers in PROJECTS.items()
    if not answers["api"] and not answers["cache"]
}


@pytest.mark.skipif(sys.platform == "win32", reason="names POSIX paths")
@pytest.mark.parametrize("answers", MODELS.values(), ids=MODELS)
def test_the_diagram_is_up_to_date(
    everything: Path, rendered: Render, uv_environment: dict[str, str], answers: Answers
) -> None:
    project = rendered(**answers)
    # Drawing needs no database.
    run(
        *(everything, "-B", "scripts/draw_schema.py", "--check"),
        cwd=project.path,
        env=uv_environment | {"PYTHONPATH": "src"},
    )
    for api, cache in ((True, False), (False, True), (True, True)):
        other = rendered(**answers | {"api": api, "cache": cache})
        assert other.read("docs/schema.md") == project.read("docs/schema.md")
