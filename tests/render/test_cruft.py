"""Test that cruft carries a change of the template into a project, by the READMEs' commands."""

import shutil
import sys
from pathlib import Path

import pytest

from support.combinations import PROJECTS
from support.documents import commands
from support.git import commit
from support.render import (
    BUILD_ARTIFACTS,
    TEMPLATE,
    Render,
    RenderedProject,
    clean_environment,
    questions,
    run,
)

pytestmark = [
    pytest.mark.skipif(not shutil.which("git"), reason="git is not installed"),
    pytest.mark.skipif(
        sys.platform == "win32", reason="cruft does not support Windows"
    ),
]

README = (TEMPLATE / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("entry", ["create", "link"])
def test_a_project_takes_a_newer_template(
    tmp_path: Path, rendered: Render, entry: str
) -> None:
    answers = PROJECTS["postgresql"]
    # One README shows how to start with cruft, the other how to add it later.
    text, url = {
        "create": (README, "https://github.com/org/repo"),
        "link": (rendered(**answers).read("README.md"), "<template>"),
    }[entry]
    env = clean_environment(tmp_path / "home")
    template, project = tmp_path / "template", tmp_path / "async_app"
    shutil.copytree(TEMPLATE, template, ignore=shutil.ignore_patterns(*BUILD_ARTIFACTS))
    commit(template, env)

    def cruft(*arguments: str, cwd: Path, stdin: str = "") -> str:
        command = " ".join(["uvx cruft", *arguments])
        assert command.replace(str(template), url) in commands(text)
        cruft = (sys.executable, "-m", "cruft")
        return run(*cruft, *arguments, cwd=cwd, env=env, stdin=stdin).stdout

    typed_answers = "\n".join(
        "2" if question == "database" else "" for question in questions()
    )
    if entry == "create":
        cruft("create", str(template), cwd=tmp_path, stdin=typed_answers + "\n")
    else:
        shutil.copytree(rendered(**answers).path, project)
        commit(project, env)
        cruft("link", str(template), cwd=project, stdin=typed_answers + "\n\n")
    assert RenderedProject(project, answers).read("compose.yaml")
    for path in ("README.md", "Dockerfile"):
        replace_last_line(project / path, "mine")
    commit(project, env)

    replace_last_line(
        template / "templates" / "postgresql" / "db" / "engine.py", "# new"
    )
    replace_last_line(template / "{{cookiecutter.project_slug}}" / "Dockerfile", "new")
    commit(template, env)
    cruft("update", "--skip-apply-ask", cwd=project)
    updated = RenderedProject(project, answers)
    assert updated.read("src/async_app/db/engine.py").endswith("\n# new\n")
    assert updated.read("README.md").endswith("\nmine\n")
    changed = run("git", "diff", "HEAD", "--name-only", cwd=project, env=env).stdout
    assert "src/async_app/db/engine.py" in changed.split()
    # Git writes conflict markers only if it has seen the old file.
    marked = "\n<<<<<<< ours\nmine\n=======\nnew\n>>>>>>> theirs\n"
    assert updated.read("Dockerfile").endswith(marked) or (
        updated.read("Dockerfile").endswith("\nmine\n")
        and "\n+new\n" in updated.read("Dockerfile.rej")
    )


def replace_last_line(path: Path, line: str) -> None:
    """Replace the last line of a file."""
    *lines, _ = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines, line]) + "\n", encoding="utf-8")
