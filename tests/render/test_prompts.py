"""Test the prompts and command line of cookiecutter.json."""

from pathlib import Path

import pytest

from support.combinations import LABELS, OTHER_ANSWERS
from support.render import (
    COOKIECUTTER,
    TEMPLATE,
    Render,
    RenderedProject,
    as_arguments,
    clean_environment,
    questions,
    run,
)

QUESTIONS = questions()
CHOICES = {key: value for key, value in QUESTIONS.items() if isinstance(value, list)}


def cookiecutter(
    tmp_path: Path, *arguments: str, status: int = 0, stdin: str = ""
) -> str:
    """Render into tmp_path/out with the cookiecutter command and return all its output."""
    done = run(
        *COOKIECUTTER,
        str(TEMPLATE),
        "--output-dir",
        str(tmp_path / "out"),
        *arguments,
        cwd=tmp_path,
        env=clean_environment(tmp_path / "home", PYTHONUTF8="1"),
        status=status,
        stdin=stdin,
    )
    return done.stdout + done.stderr


def test_questions_and_labels_are_the_same() -> None:
    assert list(LABELS) == list(QUESTIONS)


@pytest.mark.parametrize("question", CHOICES)
def test_every_choice_has_a_label(question: str) -> None:
    assert list(LABELS[question]) == ["__prompt__", *CHOICES[question]]


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_is_in_the_table_of_the_readme(question: str) -> None:
    readme = (TEMPLATE / "README.md").read_text(encoding="utf-8")
    assert [
        line for line in readme.splitlines() if line.startswith(f"| `{question}` |")
    ]


@pytest.mark.parametrize("question", CHOICES)
def test_every_choice_is_in_the_table_of_the_readme(question: str) -> None:
    readme = (TEMPLATE / "README.md").read_text(encoding="utf-8")
    (row,) = [
        line for line in readme.splitlines() if line.startswith(f"| `{question}` |")
    ]
    assert [choice for choice in CHOICES[question] if f"`{choice}`" not in row] == []


def test_the_first_choice_is_the_default(tmp_path: Path) -> None:
    cookiecutter(tmp_path, "--no-input")
    project = RenderedProject(tmp_path / "out" / "async_app", {})
    assert 'requires-python = ">=3.11"' in project.read("pyproject.toml")
    assert "MIT License" in project.read("LICENSE")
    assert "aiosqlite" in project.read("pyproject.toml")
    assert "src/async_app/models/user.py" in project.files()


def test_the_command_line_takes_every_answer_by_its_key(tmp_path: Path) -> None:
    assert list(OTHER_ANSWERS) == list(QUESTIONS)
    cookiecutter(tmp_path, "--no-input", *as_arguments(OTHER_ANSWERS))
    project = RenderedProject(tmp_path / "out" / "otherwise_named", OTHER_ANSWERS)
    pyproject = project.read("pyproject.toml")
    for text in (
        "otherwise_named",
        "Something else.",
        "Ada Lovelace",
        "ada@example.org",
    ):
        assert text in pyproject
    assert 'requires-python = ">=3.12"' in pyproject
    assert "Apache-2.0" in pyproject
    assert "asyncpg" in pyproject
    assert "Otherwise" in project.read("README.md")
    assert "## Лицензия" in project.read("README.md")
    assert "Apache License" in project.read("LICENSE")
    assert "src/otherwise_named/models/user.py" not in project.files()


def test_the_prompts_show_the_labels_and_take_the_answers(tmp_path: Path) -> None:
    # The second choice of each list, and typed answers to the other questions.
    lines = [
        (
            "2"
            if key in CHOICES
            else str(answer).lower() if isinstance(answer, bool) else answer
        )
        for key, answer in OTHER_ANSWERS.items()
    ]
    output = cookiecutter(tmp_path, stdin="\n".join(lines) + "\n")
    shown = " ".join(output.split())
    for label in LABELS.values():
        question = label["__prompt__"] if isinstance(label, dict) else label
        assert " ".join(question.split()) in shown
    project = RenderedProject(tmp_path / "out" / "otherwise_named", OTHER_ANSWERS)
    assert "asyncpg" in project.read("pyproject.toml")
    assert "## Лицензия" in project.read("README.md")


@pytest.mark.parametrize("answer", ["no", "0", "False"])
def test_a_boolean_takes_the_usual_words_for_no(tmp_path: Path, answer: str) -> None:
    cookiecutter(tmp_path, "--no-input", f"sample_models={answer}")
    assert (
        "src/async_app/models/user.py"
        not in RenderedProject(tmp_path / "out" / "async_app", {}).files()
    )


@pytest.mark.parametrize("question", [*CHOICES, "api", "cache", "sample_models"])
def test_an_unknown_answer_is_refused(tmp_path: Path, question: str) -> None:
    output = cookiecutter(tmp_path, "--no-input", f"{question}=something", status=1)
    assert "something provided for" in output
    assert question in output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Async App", "async_app"),
        ("Ünï-cödé  Name!", "uni_code_name"),
        ("App 2", "app_2"),
        ("日本", "ri_ben"),
        ("!!!", "app"),
    ],
)
def test_the_slug_follows_from_the_name(render: Render, name: str, slug: str) -> None:
    assert render(project_name=name).slug == slug
