"""Tests of every render beside all that it depends on: its types, and its diagram."""

import sys
import tomllib
from pathlib import Path

import pytest
from baking import Bake, run
from combinations import ENDS, PROJECTS, Answers
from installing import uv


@pytest.fixture(scope="module")
def everything(
    tmp_path_factory: pytest.TempPathFactory,
    baked: Bake,
    uv_environment: dict[str, str],
) -> Path:
    """A Python with what any project depends on, and no project."""
    folder = tmp_path_factory.mktemp("everything")
    wanted = set()
    for answers in ENDS.values():
        pyproject = tomllib.loads(baked(**answers).read("pyproject.toml"))
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
    everything: Path, baked: Bake, uv_environment: dict[str, str], answers: Answers
) -> None:
    run(
        *(everything, "-m", "mypy", "--strict"),
        # What is installed is read once for all projects.
        *("--cache-dir", everything.parents[1] / "cache"),
        cwd=baked(**answers).path,
        env=uv_environment | {"MYPYPATH": "src"},
    )


# The API and the cache have no models; `make check` draws those of all together.
MODELS = {
    name: answers
    for name, answers in PROJECTS.items()
    if not answers["api"] and not answers["cache"]
}


@pytest.mark.skipif(sys.platform == "win32", reason="names POSIX paths")
@pytest.mark.parametrize("answers", MODELS.values(), ids=MODELS)
def test_the_diagram_is_what_make_schema_would_draw(
    everything: Path, baked: Bake, uv_environment: dict[str, str], answers: Answers
) -> None:
    project = baked(**answers)
    # No database is set, and none is looked for.
    run(
        *(everything, "-B", "scripts/draw_schema.py", "--check"),
        cwd=project.path,
        env=uv_environment | {"PYTHONPATH": "src"},
    )
    for api, cache in ((True, False), (False, True), (True, True)):
        other = baked(**answers | {"api": api, "cache": cache})
        assert other.read("docs/schema.md") == project.read("docs/schema.md")
