"""Test that documents of the template and of renders name only what exists."""

import re
from pathlib import Path

import pytest

from support.combinations import ENDS, LOCALIZED, Answers
from support.documents import (
    CODE,
    FENCED,
    blocks,
    broken_links,
    commands,
    compile_python,
    targets_of,
    unknown_targets,
)
from support.render import TEMPLATE, Render, questions
from support.terminal import Substitutions

README = (TEMPLATE / "README.md").read_text(encoding="utf-8")
DECISIONS = sorted((TEMPLATE / "docs" / "decisions").glob("*.md"))
DOCUMENTS = sorted(
    [*TEMPLATE.glob("*.md"), *TEMPLATE.glob("docs/*.md"), *DECISIONS],
)
GUIDE = "docs/migrations.md"
# Other documents of a project that tests follow.
FOLLOWED = (
    "README.md",
    "AGENTS.md",
    *(f"docs/{name}.md" for name in ("models", "queries", "testing")),
)

DECISION_HEADINGS = [
    "Context",
    "Decision",
    "Why",
    "What it costs",
    "When to look again",
]

PATH = re.compile(
    r"[\w.*{}<>-]+(/[\w.*{}<>-]+)*(/|\.(ini|json|mako|md|py|toml|txt|ya?ml))"
)
# Files and folders that appear only later, or only elsewhere.
NOT_RENDERED = {".cruft.json", "alembic/", "build/", "migrations/", "versions/"}

each_localized = pytest.mark.parametrize("answers", LOCALIZED.values(), ids=LOCALIZED)


def path_in_template(path: Path) -> str:
    """Name a document in the output of the tests."""
    return path.relative_to(TEMPLATE).as_posix()


each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=path_in_template)


# Documents of a project


@each_localized
def test_the_readme_of_a_project_is_short(rendered: Render, answers: Answers) -> None:
    assert rendered(**answers).read("README.md").count("\n") < 170


@each_localized
def test_the_readme_of_a_project_lists_every_file(
    rendered: Render, answers: Answers
) -> None:
    project = rendered(**answers)
    table = re.findall(r"^\| (`.*`) \| ", project.read("README.md"), re.MULTILINE)
    named = [path for row in table for path in CODE.findall(row)]
    assert [path for path in named if not (project.path / path).exists()] == []
    folders = ("src/", "tests/", "docs/", "scripts/")
    assert [
        file
        for file in project.files()
        if file.startswith(folders)
        and not file.startswith(tuple(named))
        and not file.endswith("/async_app/__init__.py")
    ] == []


@each_localized
def test_documents_of_a_project_have_no_dead_links(
    rendered: Render, answers: Answers
) -> None:
    project = rendered(**answers)
    targets = targets_of(project.read("Makefile"))
    for name in project.files("*.md"):
        assert broken_links(project.path / name) == []
        assert unknown_targets(project.read(name), targets) == []
        compile_python(project.path / name)


@each_localized
def test_every_block_of_a_guide_is_run_or_written(
    rendered: Render, answers: Answers
) -> None:
    project = rendered(**answers)
    assert len(blocks(project.read(GUIDE), GUIDE)) > 20
    for name in FOLLOWED:
        assert blocks(project.read(name), name)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("text:\n\n```console\nalembic current\n```\n", "no command on the first line"),
        ("text:\n\n```python\nprint()\n```\n", "neither run nor written"),
        ("text:\n\n```\n$ alembic current\n```\n", "no language"),
        ("text:\n```console\n$ alembic current\n```\n", "no line above"),
        ("- text:\n\n  ```console\n  $ alembic current\n  ```\n", "no line above"),
    ],
)
def test_a_block_that_no_test_would_read_fails(wrong: str, why: str) -> None:
    right = "text:\n\n```console\n$ alembic current\n```\n\n"
    assert len(blocks(right)) == 1
    with pytest.raises(AssertionError, match=why):
        blocks(right + wrong)


def test_only_some_documents_have_a_python_shell() -> None:
    shell = "text:\n\n```python\nprint()\n```\n"
    (block,) = blocks(shell, "docs/queries.md")
    assert block.is_typed_into_python
    with pytest.raises(AssertionError, match="neither run nor written"):
        blocks(shell, "docs/models.md")


def test_substitutions_are_learned_once() -> None:
    substitutions = Substitutions()
    shown = "Generating …/2026_03_02_0915-4c1e8a07b2d9_x.py ...  done\n"
    output = "Generating /home/2030_12_31_2359-aaaabbbbcccc_x.py ...  done\n"
    assert not substitutions.matches(shown, output.replace("done", "FAILED"))
    assert not substitutions.matches(shown, output + "and more\n")
    assert substitutions.matches(shown, output)
    assert substitutions.translate("-r 4c1e:4c1e8a07b2d9") == "-r aaaa:aaaabbbbcccc"
    assert substitutions.matches(
        "…\n4c1e8a07b2d9 (head)\n", "a\nb\naaaabbbbcccc (head)\n"
    )
    assert not substitutions.matches("4c1e8a07b2d9 (head)\n", "bbbbbbbbcccc (head)\n")
    assert not substitutions.matches("applied 1/1 in 0.0 s\n", "applied 1/2 in 0.0 s\n")
    assert substitutions.matches("applied 1/1 in 0.0 s\n", "applied 1/1 in 17.3 s\n")


# The README of the template


def test_the_readme_shows_the_command_first_and_make_last() -> None:
    assert commands(README)[0] == "uvx cookiecutter gh:org/repo"
    assert commands(README)[-2:] == ["make demo", "make test"]
    assert "`make demo database=postgresql`" in README


def test_the_tree_in_the_readme_is_the_rendered_one(rendered: Render) -> None:
    (tree,) = re.findall(r"^```text\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    root, *lines = tree.splitlines()
    assert root == "async_app/"
    files, folders = [], [""]
    for line in lines:
        match = re.match(r"((?:│   |    )*)[├└]── (\S+)", line)
        assert match, line
        above = folders[: len(match[1]) // 4 + 1]
        if match[2].endswith("/"):
            folders = [*above, above[-1] + match[2]]
        else:
            files.append(above[-1] + match[2])
    assert files == sorted(files, key=lambda file: file.split("/"))
    assert sorted(files) == rendered().files()


def test_the_diagram_in_the_readme_is_the_rendered_one(rendered: Render) -> None:
    texts = (README, rendered().read("docs/schema.md"))
    shown, drawn = (re.findall(r"(?ms)^```mermaid$.*?^```$", text) for text in texts)
    assert len(drawn) == 1
    assert shown == drawn


def test_the_readme_lists_the_files_of_postgresql(rendered: Render) -> None:
    added = set(rendered(database="postgresql").files()) - set(rendered().files())
    pattern = r"With PostgreSQL there (?:is|are) also ([^#]*?)\. "
    (sentence,) = re.findall(pattern, README)
    assert set(CODE.findall(sentence)) == added


@pytest.mark.parametrize(("question", "default"), questions().items(), ids=questions())
def test_the_readme_shows_each_default(question: str, default: object) -> None:
    if isinstance(default, list):
        default = default[0]
    if isinstance(default, bool):
        default = str(default).lower()
    in_words = {
        "project_slug": "from the name: `async_app`",
        "description": "a neutral sentence",
    }
    assert f"| `{question}` | {in_words.get(question, f'`{default}`')} | " in README


# All documents of the template


@each_document
def test_a_document_has_no_dead_links(rendered: Render, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert broken_links(path) == []
    compile_python(path)
    makefiles = [TEMPLATE / "Makefile"]
    makefiles += [rendered(**each).path / "Makefile" for each in ENDS.values()]
    targets = {
        target
        for makefile in makefiles
        for target in targets_of(makefile.read_text(encoding="utf-8"))
    }
    assert unknown_targets(text, targets) == []


@each_document
def test_a_document_names_existing_files(rendered: Render, path: Path) -> None:
    projects = [rendered(**each).path for each in ENDS.values()]
    named = CODE.findall(FENCED.sub("", path.read_text(encoding="utf-8")))
    assert [
        name
        for name in named
        if PATH.fullmatch(name)
        and name not in NOT_RENDERED
        and not any(TEMPLATE.glob(name))
        and not any(
            any(project.rglob(name.replace("<slug>", "async_app")))
            for project in projects
        )
    ] == []


@each_document
def test_a_document_is_tidy(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n") and not text.endswith("\n\n")
    assert not re.search(r"[ \t]+$", text, re.MULTILINE)
    prose = [line for line in FENCED.sub("", text).splitlines() if line[:1] != "|"]
    assert [line for line in prose if len(line) > 100 and "](" not in line] == []


@pytest.mark.parametrize("house", ["The template", "The project"])
def test_the_map_names_files_of_its_house(rendered: Render, house: str) -> None:
    text = (TEMPLATE / "docs" / "map.md").read_text(encoding="utf-8")
    section = text.partition(f"## {house}\n")[2].partition("\n## ")[0]
    named = re.findall(r"^\| [^|]+ \| (`.*) \|$", section, re.MULTILINE)
    assert named
    roots = [TEMPLATE]
    if house == "The project":
        roots = [rendered(**each).path for each in ENDS.values()]
    assert [
        path
        for row in named
        for path in CODE.findall(row)
        if path != "make manifest" and not any(any(root.glob(path)) for root in roots)
    ] == []


@pytest.mark.parametrize("path", DECISIONS, ids=path_in_template)
def test_a_decision_has_five_headings_on_one_page(path: Path) -> None:
    title, *lines = path.read_text(encoding="utf-8").splitlines()
    assert [line[3:] for line in lines if line.startswith("#")] == DECISION_HEADINGS
    assert len(lines) < 44
    number = DECISIONS.index(path) + 1
    assert path.name.startswith(f"{number:04}-")
    assert title.startswith(f"# {number}. ")
    text = (TEMPLATE / "docs" / "map.md").read_text(encoding="utf-8")
    link = f"]({path.relative_to(TEMPLATE / 'docs').as_posix()})"
    assert f"\n{number}. [{title.partition('. ')[2]}{link}\n" in text
