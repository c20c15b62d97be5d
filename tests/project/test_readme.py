"""Follow the READMEs of the template and of rendered projects, as a reader would."""

import shutil
import sys
from pathlib import Path

import pytest

from support.combinations import ENDS, TRANSLATED_ENDS, Answers
from support.documents import blocks, consoles
from support.git import commit
from support.installing import Install
from support.render import COOKIECUTTER, TEMPLATE, Render, RenderedProject, run
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

# Commands that need Docker, or download the template.
NOT_RUN = ("docker ", "uvx ")


@pytest.mark.parametrize("answers", GUIDED.values(), ids=GUIDED)
def test_the_documents_of_a_project_tell_the_truth(
    tmp_path: Path, rendered: Render, install: Install, answers: Answers
) -> None:
    project = install(answers)
    origin = tmp_path / "origin"
    shutil.copytree(rendered(**answers).path, origin)
    commit(origin, project.env)
    clone = tmp_path / "clone"
    actual = {
        "git clone <url> async_app": f"git clone --quiet {origin} {clone}",
        "cd async_app": f"cd {project.project.path}",
    }
    if answers.get("api"):
        # It serves until Ctrl-C.
        actual["make run"] = "timeout --signal INT 25 make run || true"
    # Each document continues with the files of the previous one.
    for name, count in DOCUMENTS.items():
        read = [
            block
            for block in blocks(project.project.read(name), name)
            if not block.text.startswith(tuple(f"$ {each}" for each in NOT_RUN))
        ]
        assert len(read) >= count, name
        follow(read, project, actual, NO_OMITTED_LINES)
    shutil.rmtree(clone / ".git")
    cloned = RenderedProject(clone, answers)
    assert cloned.contents() == rendered(**answers).contents()
    run("make", "check", cwd=project.project.path, env=project.env)


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
