"""Tests of what is written in the rendered files: clean, valid, and about one database only."""

import ast
import configparser
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from baking import COOKIECUTTER, TEMPLATE, Bake, BakedProject, questions, run
from baking import environment as environment_of
from combinations import COMBINATIONS, LANGUAGES, PROJECTS, TRANSLATED, WRITTEN, Answers

each_combination = pytest.mark.parametrize(
    "answers", COMBINATIONS.values(), ids=COMBINATIONS
)
each_written = pytest.mark.parametrize("answers", WRITTEN.values(), ids=WRITTEN)
each_project = pytest.mark.parametrize("answers", PROJECTS.values(), ids=PROJECTS)
LICENSES = questions()["license"]

# What a project on one database has no reason to say.
FOREIGN = {
    "sqlite": re.compile(
        r"postgres|asyncpg|pgserver|pgvector|psql|libpq|squawk", re.IGNORECASE
    ),
    "postgresql": re.compile(r"sqlite", re.IGNORECASE),
}
# (database, file, text): why it may say so.
ALLOWED: dict[tuple[str, str, str], str] = {}

ANY_DATABASE = re.compile(r"sqlite|postgres|asyncpg|psycopg", re.IGNORECASE)

# Of Jinja, GitHub's expressions alone look alike, and they carry a dollar sign.
JINJA = re.compile(r"(?<!\$)\{\{|\{%|\{#|cookiecutter\.")

TEXT = """ "'`\\ \\n \\u2028 \"\"\" ''' </script> %s %(x)s $HOME ${x} #*@£ ß 日本 🎉 <&> Marker """.strip()


def lines(project: BakedProject) -> Iterator[tuple[str, int, str]]:
    """Go through all lines with their file and number."""
    for name in project.files():
        for number, line in enumerate(project.read(name).splitlines(), 1):
            yield name, number, line


@pytest.mark.parametrize(
    "answers",
    [*COMBINATIONS.values(), *TRANSLATED.values()],
    ids=[*COMBINATIONS, *TRANSLATED],
)
def test_nothing_of_jinja_is_left(baked: Bake, answers: Answers) -> None:
    assert [each for each in lines(baked(**answers)) if JINJA.search(each[2])] == []


@each_written
def test_no_file_has_scars(baked: Bake, answers: Answers) -> None:
    project = baked(**answers)
    for name in project.files():
        text = project.read(name)
        assert "\r" not in text, name
        most = 2 if name.endswith((".py", ".py.mako")) else 1
        # Code in a document has blank lines of its own.
        prose = re.sub(r"(?ms)^```\w+$.*?^```$", "code", text)
        scarred = "\n" * (most + 2) in prose
        assert not scarred, f"{name} has {most + 1} blank lines in a row"
        assert not re.search(
            r"[ \t]+$", text, re.MULTILINE
        ), f"{name} has trailing blanks"
        if text:
            assert not text.startswith("\n"), f"{name} starts with a blank line"
            assert text.endswith("\n"), f"{name} does not end with a newline"
            assert not text.endswith("\n\n"), f"{name} ends with a blank line"


@each_written
def test_only_the_chosen_database_is_named(baked: Bake, answers: Answers) -> None:
    database = str(answers["database"])
    found = [
        (name, number, line)
        for name, number, line in lines(baked(**answers))
        for match in FOREIGN[database].finditer(line)
        if (database, name, match[0]) not in ALLOWED
    ]
    assert found == []


def test_every_exception_to_one_database_is_still_needed(baked: Bake) -> None:
    for database, name, text in ALLOWED:
        assert text in baked(database=database, sample_models=True).read(name)


@each_project
def test_the_code_names_its_database_in_one_file_only(
    baked: Bake, answers: Answers
) -> None:
    project = baked(**answers)
    found = {
        name
        for name, _, line in lines(project)
        if name.startswith("src/") and ANY_DATABASE.search(line)
    }
    assert found
    # A first migration is written for one database by its nature.
    code = {name for name in found if "/migrations/versions/" not in name}
    assert {Path(name).name for name in code} == {"dialect.py"}


@each_combination
def test_every_file_can_be_parsed(baked: Bake, answers: Answers) -> None:
    project = baked(**answers)
    parsed = set()
    for name in project.files():
        text = project.read(name)
        parsed.add(Path(name).suffix)
        match Path(name).suffix:
            case ".py":
                ast.parse(text, name)
            case ".toml":
                tomllib.loads(text)
            case ".yaml" | ".yml":
                assert yaml.safe_load(text), name
            case ".ini":
                parser = configparser.ConfigParser(interpolation=None)
                parser.read_string(text, name)
            case ".json":
                json.loads(text)
    assert {".py", ".toml", ".yml", ".ini"} <= parsed


@pytest.mark.parametrize(
    "command",
    [
        ("black", "--check", "--diff", "--quiet", "--config"),
        ("ruff", "check", "--no-cache"),
        ("compileall", "-q"),
    ],
    ids=lambda command: command[0],
)
def test_the_untouched_render_passes_under_every_name(
    tmp_path: Path, baked: Bake, command: tuple[str, ...]
) -> None:
    # One process for all, and what many projects share is looked at once: but for ruff,
    # which sorts imports by what lies beside a file.
    seen: set[tuple[str, bytes]] = set()
    for name, answers in COMBINATIONS.items():
        project = baked(**answers)
        for file in project.files():
            content = (project.path / file).read_bytes()
            path = tmp_path / name / project.slug / file
            if command[0] == "ruff" or (file, content) not in seen:
                seen.add((file, content))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    config = baked().path / "pyproject.toml"
    variables = {"PYTHONPYCACHEPREFIX": str(tmp_path / "pycache"), "PYTHONUTF8": "1"}
    run(
        *(sys.executable, "-W", "error", "-m", *command),
        *([config] if command[-1] == "--config" else []),
        *sorted(tmp_path.iterdir()),
        cwd=tmp_path,
        env=environment_of(tmp_path / "home", **variables),
    )


@pytest.mark.parametrize("license", LICENSES)  # type: ignore[arg-type]
def test_each_licence_is_complete_and_named_in_the_metadata(
    baked: Bake, license: str
) -> None:
    project = baked(license=license, author_name="Ada Lovelace")
    words = {
        "MIT": ["MIT License", "NONINFRINGEMENT"],
        "Apache-2.0": ["Apache License", "TERMS AND CONDITIONS", "END OF TERMS"],
        "BSD-3-Clause": ["BSD 3-Clause License", "Neither the name"],
        "GPL-3.0-only": ["GNU GENERAL PUBLIC LICENSE", "END OF TERMS AND CONDITIONS"],
        "Proprietary": ["All rights reserved"],
    }[license]
    text = project.read("LICENSE")
    assert [word for word in words if word not in text] == []
    if license in ("MIT", "BSD-3-Clause", "Proprietary"):
        assert "Copyright (c) Ada Lovelace" in text
    assert (
        text.endswith("\n") and not text.endswith("\n\n") and not text.startswith("\n")
    )
    assert not re.search(
        r"Copyright \(c\) .*20\d\d", text
    ), "the year of rendering is no answer"
    metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
    # PEP 639 has no identifier for what is not licensed; it asks for one that begins so.
    spdx = "LicenseRef-Proprietary" if license == "Proprietary" else license
    assert metadata["license"] == spdx


@pytest.mark.parametrize("version", questions()["python_version"])  # type: ignore[arg-type]
def test_the_oldest_python_is_the_one_that_was_chosen(
    baked: Bake, version: str
) -> None:
    pyproject = tomllib.loads(baked(python_version=version).read("pyproject.toml"))
    assert pyproject["project"]["requires-python"] == f">={version}"
    short = f"py{version.replace('.', '')}"
    assert pyproject["tool"]["ruff"].get("target-version", short) == short
    assert pyproject["tool"]["mypy"]["python_version"] == version
    workflow = yaml.safe_load(
        baked(python_version=version).read(".github/workflows/ci.yml")
    )
    tested = re.findall(r"'(3\.\d+)'", repr(workflow))
    assert min(tested, key=lambda each: int(each.split(".")[1])) == version


def shown_intact(project: BakedProject, texts: dict[str, str]) -> dict[str, set[str]]:
    """Check the texts in every file that shows one; map each text's name to those files."""
    shown: dict[str, set[str]] = {name: set() for name in texts}
    for file in project.files():
        content = project.read(file)
        for name, text in texts.items():
            spellings = (
                text,
                json.dumps(text)[1:-1],
                json.dumps(text, ensure_ascii=False)[1:-1],
            )
            marks = content.count(text.split()[-1])
            intact = max(content.count(spelling) for spelling in spellings)
            assert marks == intact, f"{file} shows {name} damaged:\n{content}"
            if intact:
                shown[name].add(file)
    return shown


def check_texts(project: BakedProject, texts: dict[str, str]) -> None:
    """Check that free text arrives as it was typed, wherever it is shown."""
    metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
    assert metadata["description"] == texts["description"]
    assert metadata["authors"] == [
        {"name": texts["author_name"], "email": texts["author_email"]}
    ]
    shown = shown_intact(project, texts)
    assert "README.md" in shown["project_name"]
    assert "README.md" in shown["description"]
    assert "LICENSE" in shown["author_name"]
    for name in project.files("*.py"):
        compile(project.read(name), name, "exec")
    for name in [*project.files("*.yml"), *project.files("*.yaml")]:
        yaml.safe_load(project.read(name))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_free_text_arrives_intact(bake: Bake, database: str, language: str) -> None:
    texts = {
        name: f"{TEXT}_{name}"
        for name in ("project_name", "description", "author_name", "author_email")
    }
    chosen = {"database": database, "docs_language": language}
    project = bake(project_slug="async_app", **chosen, **texts)
    assert project.exception is None
    check_texts(project, texts)


def test_text_that_looks_like_jinja_arrives_intact_when_it_is_typed_at_the_prompt(
    tmp_path: Path,
) -> None:
    # On the command line cookiecutter itself renders the answers.
    texts = {
        name: f"{{{{ 7 * 7 }}}} {{% raw %}} {{# x #}} {{{{ {TEXT}_{name}"
        for name in ("project_name", "description", "author_name", "author_email")
    }
    run(
        *COOKIECUTTER,
        str(TEMPLATE),
        *("--output-dir", str(tmp_path)),
        cwd=tmp_path,
        env=environment_of(tmp_path / "home", PYTHONUTF8="1", PYTHONIOENCODING="utf-8"),
        stdin="\n".join(
            texts.get(question, "async_app" if question == "project_slug" else "")
            for question in questions()
        )
        + "\n",
    )
    check_texts(BakedProject(tmp_path / "async_app", {}), texts)
