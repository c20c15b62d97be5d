"""Test the words of docstrings, comments, messages, documents and test names."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.combinations import PROJECTS
from support.render import TEMPLATE, Render, template_files
from support.words import (
    RUSSIAN,
    bad_first_word,
    banned_words,
    findings_in_docstrings,
    findings_in_words,
    long_test_names,
)

CODE_FOLDERS = [TEMPLATE / name for name in ("benchmarks", "hooks", "tests")]
# These hold the banned words.
WORD_LISTS = ("tests/support/words.py", "tests/render/test_words.py")
TEXT_FILES = (".env.example", "Dockerfile", "Makefile")
TEXT_SUFFIXES = {".ini", ".mako", ".md", ".py", ".toml", ".yaml", ".yml"}

Files = list[tuple[str, str]]


def check(findings: list[list[str]]) -> None:
    """Fail with all findings, one a line."""
    found = sorted({each for group in findings for each in group})
    assert not found, "\n".join(["", *found])


@pytest.fixture(scope="module")
def files_of_projects(rendered: Render) -> Files:
    """Every text that any project has in a file, with the file's path."""
    files = {
        (name, project.read(name))
        for answers in PROJECTS.values()
        for project in [rendered(**answers)]
        for name in project.files()
    }
    return sorted(files)


def own_code() -> Iterator[tuple[str, str]]:
    """Iterate over the template's own Python: path and source."""
    for path in template_files(".py", CODE_FOLDERS):
        name = path.relative_to(TEMPLATE).as_posix()
        if name not in WORD_LISTS:
            yield name, path.read_text(encoding="utf-8")


def own_documents() -> Iterator[tuple[str, str]]:
    """Iterate over the template's documents: path and what readers of today see.

    Old entries of the changelog and old decisions keep their words, but for titles.
    """
    own = ("*.md", "docs/**/*.md", "Makefile", "pyproject.toml", ".github/**/*.yml")
    for path in [path for pattern in own for path in TEMPLATE.glob(pattern)]:
        text = path.read_text(encoding="utf-8")
        if path.name == "CHANGELOG.md":
            text = re.split(r"(?m)^## (?!\[Unreleased\])", text)[0]
        if path.parent.name == "decisions":
            text = text.splitlines()[0]
        yield path.relative_to(TEMPLATE).as_posix(), text


def test_our_docstrings_start_with_a_noun_or_a_verb() -> None:
    check([findings_in_docstrings(*file) for file in own_code()])


def test_our_code_uses_the_words_of_the_field() -> None:
    check([findings_in_words(*file) for file in own_code()])


def test_our_documents_use_the_words_of_the_field() -> None:
    check([findings_in_words(*file) for file in own_documents()])


def test_our_test_names_are_short() -> None:
    check([long_test_names(*file) for file in own_code()])


def test_docstrings_of_projects_start_with_a_noun_or_a_verb(
    files_of_projects: Files,
) -> None:
    modules = [file for file in files_of_projects if file[0].endswith(".py")]
    check([findings_in_docstrings(*file) for file in modules])


def test_projects_use_the_words_of_the_field(files_of_projects: Files) -> None:
    files = [
        (name, text)
        for name, text in files_of_projects
        if Path(name).suffix in TEXT_SUFFIXES or name in TEXT_FILES
    ]
    check([findings_in_words(*file) for file in files])


def test_test_names_of_projects_are_short(files_of_projects: Files) -> None:
    tests = [file for file in files_of_projects if Path(file[0]).match("test_*.py")]
    check([long_test_names(*file) for file in tests])


@pytest.mark.parametrize(
    "path", template_files("", [TEMPLATE / "templates" / "ru"]), ids=lambda p: p.name
)
def test_russian_reads_as_a_native_engineer_writes(path: Path) -> None:
    check([findings_in_words(f"{path}.md", path.read_text("utf-8"), RUSSIAN)])


# The rules themselves


@pytest.mark.parametrize(
    "text",
    [
        "What the rows hold.",
        "How it is done.",
        "Whether it works.",
        "Who asks.",
        '"That" of the process.',
        "Where the files are.",
    ],
)
def test_a_bad_first_word_is_found(text: str) -> None:
    assert bad_first_word(text)
    assert findings_in_docstrings("a.py", f"'''{text}'''") != []
    assert not bad_first_word("Return what it holds.")


@pytest.mark.parametrize(
    "text",
    [
        "the address of the database",
        "the table is made anew",
        "Redis is away",
        "each migration begins with a lock",
        "a server that comes along",
        "a constraint that is broken",
        "the file lies in data/",
        "it stands in the README",
        "make mends it",
        "nobody may change it",
        "a folder of its own",
        "take the newest revision back",
        "wait for your turn",
        "whoever writes the model",
    ],
)
def test_a_banned_word_is_found(text: str) -> None:
    assert len(findings_in_words("README.md", f"In the README {text}.")) == 1
    assert len(findings_in_words("a.py", f"# See: {text}.")) == 1
    assert len(findings_in_words("src/a.py", f'raise ValueError("sorry: {text}")')) == 1
    assert len(findings_in_words("Makefile", f"run: ## Here {text}")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "an email address",
        "turn it on, turns out",
        "in turn",
        "BEGIN and COMMIT",
        "begin a transaction",
        "it stands for the name",
        "`address` is a name of a parameter",
        "right away",
    ],
)
def test_a_word_of_the_field_is_no_finding(text: str) -> None:
    assert findings_in_words("README.md", f"In the README {text}.") == []


def test_a_long_test_name_is_found() -> None:
    name = "test_" + "x" * 56
    assert long_test_names("test_a.py", f"def {name}(): ...\n")
    assert long_test_names("test_a.py", f"class A:\n    async def {name}(): ...\n")
    assert not long_test_names("test_a.py", f"def {name[:60]}(): ...\n")


@pytest.mark.parametrize(
    "text", ["выполнить миграцию", "две головы", "на один раз", "Столбцу без NULL"]
)
def test_a_banned_russian_phrase_is_found(text: str) -> None:
    assert len(banned_words(f"В тексте {text}.", RUSSIAN)) == 1
    assert not banned_words("Применить миграцию, head, откат, пул.", RUSSIAN)
