"""Follow CONTRIBUTING.md's steps for a new question in a copy of the template."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from support.combinations import LABELS, OPTIONS, OTHER_ANSWERS, PROJECTS
from support.render import (
    BUILD_ARTIFACTS,
    COOKIECUTTER,
    TEMPLATE,
    RenderedProject,
    clean_environment,
    questions,
    run,
)

GUIDE = (TEMPLATE / "CONTRIBUTING.md").read_text(encoding="utf-8")
STEP = re.compile(
    r"^In `(?P<file>[^`]+)`, (?:above `(?P<above>[^`]+)`|a new file)[^`]*:\n\n"
    r"```\w+\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
MATRIX = TEMPLATE / "docs" / "matrix.md"


def test_the_steps_of_the_guide_add_a_question(tmp_path: Path) -> None:
    copy = tmp_path / "template"
    shutil.copytree(TEMPLATE, copy, ignore=shutil.ignore_patterns(*BUILD_ARTIFACTS))
    steps = list(STEP.finditer(GUIDE))
    assert len(steps) == 6
    for step in steps:
        path = copy / step["file"]
        if step["above"] is None:
            assert not path.exists()
            path.write_text(step["text"], encoding="utf-8")
            continue
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        (place,) = [n for n, line in enumerate(lines) if step["above"] in line]
        lines.insert(place, step["text"])
        path.write_text("".join(lines), encoding="utf-8")
    env = clean_environment(tmp_path / "home")
    for answer in ("true", "false"):
        out = tmp_path / answer
        arguments = ("--no-input", "--output-dir", out, f"editorconfig={answer}")
        run(*COOKIECUTTER, copy, *arguments, cwd=tmp_path, env=env)
        files = RenderedProject(out / "async_app", {}).files()
        assert (".editorconfig" in files) == (answer == "true")
    # CONTRIBUTING.md promises that these tests fail until all steps are done.
    chosen = "tests/render/test_prompts.py", "-k", "label or table or by_its_key"
    run(sys.executable, "-m", "pytest", "-q", *chosen, cwd=copy, env=env)
    without_prompt = json.loads((copy / "cookiecutter.json").read_text())
    del without_prompt["__prompts__"]["editorconfig"]
    (copy / "cookiecutter.json").write_text(json.dumps(without_prompt))
    run(sys.executable, "-m", "pytest", "-q", *chosen, cwd=copy, env=env, status=1)


@pytest.mark.parametrize("question", questions())
def test_every_question_is_asked_explained_and_tested(question: str) -> None:
    readme = (TEMPLATE / "README.md").read_text(encoding="utf-8")
    missing = {
        "a label in __prompts__ of cookiecutter.json": question not in LABELS,
        "a row in the questions of README.md": f"\n| `{question}` | " not in readme,
        "another answer in tests/support/combinations.py": question
        not in OTHER_ANSWERS,
        "a column in docs/matrix.md": (
            question in (*OPTIONS, "database") and question not in columns(MATRIX)
        ),
        "both answers in tests/support/combinations.py": question in OPTIONS
        and {answers[question] for answers in PROJECTS.values()} != {False, True},
    }
    assert [place for place, lacking in missing.items() if lacking] == []


def columns(path: Path) -> set[str]:
    """Read the column heads of the tables in a document."""
    text = path.read_text(encoding="utf-8")
    heads = re.findall(r"^\|(.*)\|\n\|[ :|-]+\|$", text, re.MULTILINE)
    return {cell.strip(" `") for head in heads for cell in head.split("|")}
