"""Follow the READMEs of the template and of rendered projects, as a reader would."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from support import redis_server
from support.combinations import ENDS, TRANSLATED_ENDS, Answers
from support.documents import blocks, consoles
from support.git import commit
from support.installing import Install, Installed
from support.render import (
    COOKIECUTTER,
    TEMPLATE,
    Render,
    RenderedProject,
    clean_environment,
    run,
)
from support.terminal import NO_OMITTED_LINES, follow

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="types into bash")

README = (TEMPLATE / "README.md").read_text(encoding="utf-8")
RECORDED: Answers = {"project_name": "Book Club", "database": "postgresql"}
GUIDED = ENDS | TRANSLATED_ENDS

# Documents of a project in their order, each with its smallest number of blocks.
DOCUMENTS = {
    "README.md": 4,
    "docs/models.md": 4,
    "docs/queries.md": 6,
    "docs/testing.md": 4,
    "AGENTS.md": 1,
}

FEATURE_DOCUMENTS = {"README.md": 4, "docs/cache.md": 4, "docs/search.md": 10}

# Asks the route that the guide to the cache adds.
OPEN_TASKS = """
from fastapi.testclient import TestClient
from async_app.api.app import app
with TestClient(app) as client:
    print(client.get("/open-tasks").raise_for_status().json())
"""

# Commands that need Docker, or download the template.
NOT_RUN = ("docker ", "uvx ")


def follow_documents(
    project: Installed, documents: Mapping[str, int], actual: dict[str, str]
) -> None:
    """Follow documents one after another, each with the files of the previous ones."""
    if project.project.answers.get("api"):
        # It serves until Ctrl-C.
        actual["make run"] = "timeout --signal INT 25 make run || true"
    for name, count in documents.items():
        read = [
            block
            for block in blocks(project.project.read(name), name)
            if not block.text.startswith(tuple(f"$ {each}" for each in NOT_RUN))
        ]
        assert len(read) >= count, name
        follow(read, project, actual, NO_OMITTED_LINES)


def clone_of(project: Installed, original: Path, folder: Path) -> dict[str, str]:
    """Return the commands that clone an original into a folder, by those of the README."""
    origin = folder / "origin"
    shutil.copytree(original, origin)
    commit(origin, project.env)
    return {
        "git clone <url> async_app": f"git clone --quiet {origin} {folder / 'clone'}",
        "cd async_app": f"cd {project.project.path}",
    }


@pytest.mark.parametrize("answers", GUIDED.values(), ids=GUIDED)
def test_the_documents_of_a_project_tell_the_truth(
    tmp_path: Path, rendered: Render, install: Install, answers: Answers
) -> None:
    project = install(answers)
    original = rendered(**answers)
    follow_documents(project, DOCUMENTS, clone_of(project, original.path, tmp_path))
    clone = tmp_path / "clone"
    shutil.rmtree(clone / ".git")
    assert RenderedProject(clone, answers).contents() == original.contents()
    run("make", "check", cwd=project.project.path, env=project.env)


@pytest.mark.parametrize(("database", "api"), [("sqlite", True), ("postgresql", False)])
def test_the_documents_of_features_tell_the_truth(
    tmp_path: Path,
    rendered: Render,
    install: Install,
    redis_variables: dict[str, str],
    database: str,
    api: bool,
) -> None:
    answers: Answers = {"database": database, "api": api, "cache": True, "search": True}
    project = install(answers)
    actual = clone_of(project, rendered(**answers).path, tmp_path)
    with redis_server.run(redis_variables, tmp_path) as url:
        actual["redis://127.0.0.1:6379/0"] = url
        follow_documents(project, FEATURE_DOCUMENTS, actual)
        if api:
            command = (project.python, "-c", OPEN_TASKS)
            assert project.run_with_database(*command).splitlines()[0].isdigit()


def test_the_recording_in_the_readme_is_a_real_run(
    tmp_path: Path, rendered: Render, install: Install
) -> None:
    project = install(RECORDED)
    cookiecutter = " ".join(COOKIECUTTER)
    actual = {
        "uvx cookiecutter gh:org/repo": f"{cookiecutter} '{TEMPLATE}' -o '{tmp_path}'",
        "cd book_club": f"cd '{project.project.path}'",
    }
    (recording,) = [each for each in consoles(README) if "$ cd book_club" in each.text]
    follow([recording], project, actual, NO_OMITTED_LINES)
    project_of_readme = RenderedProject(tmp_path / "book_club", RECORDED)
    assert project_of_readme.contents() == rendered(**RECORDED).contents()


def test_the_picture_in_the_readme_is_a_real_run(tmp_path: Path) -> None:
    script = TEMPLATE / "docs" / "record_demo.py"
    env = clean_environment(tmp_path / "home")
    run(sys.executable, script, "--check", cwd=tmp_path, env=env)
