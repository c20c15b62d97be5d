"""Test the text of rendered files: tidy, valid, and about one database only."""

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

from support.combinations import (
    COMBINATIONS,
    LANGUAGES,
    LOCALIZED,
    PROJECTS,
    TRANSLATED,
    Answers,
)
from support.render import (
    COOKIECUTTER,
    TEMPLATE,
    Render,
    RenderedProject,
    clean_environment,
    load_hook,
    questions,
    run,
    template_files,
)

each_combination = pytest.mark.parametrize(
    "answers", COMBINATIONS.values(), ids=COMBINATIONS
)
each_localized = pytest.mark.parametrize("answers", LOCALIZED.values(), ids=LOCALIZED)
each_project = pytest.mark.parametrize("answers", PROJECTS.values(), ids=PROJECTS)
LICENSES = questions()["license"]

# Words that belong to the other database only.
FOREIGN = {
    "sqlite": re.compile(
        r"postgres|asyncpg|pgserver|pgvector|psql|libpq|squawk", re.IGNORECASE
    ),
    "postgresql": re.compile(r"sqlite", re.IGNORECASE),
}
# (database, file, text) -> reason for an exception.
ALLOWED: dict[tuple[str, str, str], str] = {}

ANY_DATABASE = re.compile(r"sqlite|postgres|asyncpg|psycopg", re.IGNORECASE)

# GitHub's expressions look like Jinja's, but for a dollar sign.
JINJA = re.compile(r"(?<!\$)\{\{|\{%|\{#|cookiecutter\.")

TEXT = """ "'`\\ \\n \\u2028 \"\"\" ''' </script> %s %(x)s $HOME ${x} #*@£ ß 日本 🎉 <&> Marker """.strip()


def lines(project: RenderedProject) -> Iterator[tuple[str, int, str]]:
    """Iterate over all lines with their file and number."""
    for name in project.files():
        for number, line in enumerate(project.read(name).splitlines(), 1):
            yield name, number, line


@pytest.mark.parametrize(
    "answers",
    [*COMBINATIONS.values(), *TRANSLATED.values()],
    ids=[*COMBINATIONS, *TRANSLATED],
)
def test_no_jinja_is_left(rendered: Render, answers: Answers) -> None:
    assert [each for each in lines(rendered(**answers)) if JINJA.search(each[2])] == []


@each_localized
def test_every_file_is_tidy(rendered: Render, answers: Answers) -> None:
    project = rendered(**answers)
    for name in project.files():
        text = project.read(name)
        assert "\r" not in text, name
        most = 2 if name.endswith((".py", ".py.mako")) else 1
        # Code in a document follows the rules of its language.
        prose = re.sub(r"(?ms)^```\w+$.*?^```$", "code", text)
        gap = "\n" * (most + 2) in prose
        assert not gap, f"{name} has {most + 1} blank lines in a row"
        assert not re.search(
            r"[ \t]+$", text, re.MULTILINE
        ), f"{name} has trailing blanks"
        if text:
            assert not text.startswith("\n"), f"{name} starts with a blank line"
            assert text.endswith("\n"), f"{name} does not end with a newline"
            assert not text.endswith("\n\n"), f"{name} ends with a blank line"


@each_localized
def test_only_the_chosen_database_is_named(rendered: Render, answers: Answers) -> None:
    database = str(answers["database"])
    found = [
        (name, number, line)
        for name, number, line in lines(rendered(**answers))
        for match in FOREIGN[database].finditer(line)
        if (database, name, match[0]) not in ALLOWED
    ]
    assert found == []


def test_every_exception_to_one_database_is_still_needed(rendered: Render) -> None:
    for database, name, text in ALLOWED:
        assert text in rendered(database=database, sample_models=True).read(name)


@each_project
def test_only_the_files_of_a_database_name_it(
    rendered: Render, answers: Answers
) -> None:
    project = rendered(**answers)
    found = {
        name
        for name, _, line in lines(project)
        if name.startswith("src/") and ANY_DATABASE.search(line)
    }
    assert found
    database = str(answers["database"])
    package = f"src/{project.slug}/"
    fragments = TEMPLATE / "templates" / database
    wanted_by = load_hook("post_gen_project").WANTED_BY
    own = {
        *(
            package + path.relative_to(fragments).as_posix()
            for path in template_files(".py", [fragments])
        ),
        *(
            path.replace("{{cookiecutter.project_slug}}", project.slug)
            for path in wanted_by[f"database={database}"]
        ),
    }
    # Migrations are written for one database.
    code = {name for name in found if "/migrations/versions/" not in name}
    assert code <= own


@each_combination
def test_every_file_can_be_parsed(rendered: Render, answers: Answers) -> None:
    project = rendered(**answers)
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
    tmp_path: Path, rendered: Render, command: tuple[str, ...]
) -> None:
    # One process for all projects, and each file only once, but for ruff, which sorts imports
    # by the modules beside a file.
    seen: set[tuple[str, bytes]] = set()
    for name, answers in COMBINATIONS.items():
        project = rendered(**answers)
        for file in project.files():
            content = (project.path / file).read_bytes()
            path = tmp_path / name / project.slug / file
            if command[0] == "ruff" or (file, content) not in seen:
                seen.add((file, content))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    config = rendered().path / "pyproject.toml"
    variables = {"PYTHONPYCACHEPREFIX": str(tmp_path / "pycache"), "PYTHONUTF8": "1"}
    run(
        *(sys.executable, "-W", "error", "-m", *command),
        *([config] if command[-1] == "--config" else []),
        *sorted(tmp_path.iterdir()),
        cwd=tmp_path,
        env=clean_environment(tmp_path / "home", **variables),
    )


@pytest.mark.parametrize("license", LICENSES)  # type: ignore[arg-type]
def test_each_licence_is_complete_and_named_in_the_metadata(
    rendered: Render, license: str
) -> None:
    project = rendered(license=license, author_name="Ada Lovelace")
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
    ), "the year does not follow from the answers"
    metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
    # PEP 639 has no identifier for unlicensed code, but a prefix for one.
    spdx = "LicenseRef-Proprietary" if license == "Proprietary" else license
    assert metadata["license"] == spdx


@pytest.mark.parametrize("version", questions()["python_version"])  # type: ignore[arg-type]
def test_the_chosen_python_is_the_oldest_supported(
    rendered: Render, version: str
) -> None:
    pyproject = tomllib.loads(rendered(python_version=version).read("pyproject.toml"))
    assert pyproject["project"]["requires-python"] == f">={version}"
    short = f"py{version.replace('.', '')}"
    assert pyproject["tool"]["ruff"].get("target-version", short) == short
    assert pyproject["tool"]["mypy"]["python_version"] == version
    workflow = yaml.safe_load(
        rendered(python_version=version).read(".github/workflows/ci.yml")
    )
    tested = re.findall(r"'(3\.\d+)'", repr(workflow))
    assert min(tested, key=lambda each: int(each.split(".")[1])) == version


def files_showing(
    project: RenderedProject, texts: dict[str, str]
) -> dict[str, set[str]]:
    """Map the name of each text to the files that show it, and fail if one is damaged."""
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


def check_texts(project: RenderedProject, texts: dict[str, str]) -> None:
    """Check that every file shows free text exactly as it was typed."""
    metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
    assert metadata["description"] == texts["description"]
    assert metadata["authors"] == [
        {"name": texts["author_name"], "email": texts["author_email"]}
    ]
    shown = files_showing(project, texts)
    assert "README.md" in shown["project_name"]
    assert "README.md" in shown["description"]
    assert "LICENSE" in shown["author_name"]
    for name in project.files("*.py"):
        compile(project.read(name), name, "exec")
    for name in [*project.files("*.yml"), *project.files("*.yaml")]:
        yaml.safe_load(project.read(name))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_free_text_is_rendered_unchanged(
    render: Render, database: str, language: str
) -> None:
    texts = {
        name: f"{TEXT}_{name}"
        for name in ("project_name", "description", "author_name", "author_email")
    }
    chosen = {"database": database, "docs_language": language}
    project = render(project_slug="async_app", **chosen, **texts)
    assert project.exception is None
    check_texts(project, texts)


def test_jinja_typed_at_the_prompt_is_rendered_unchanged(
    tmp_path: Path,
) -> None:
    # Cookiecutter renders the answers of its command line, but not those typed at the prompt.
    texts = {
        name: f"{{{{ 7 * 7 }}}} {{% raw %}} {{# x #}} {{{{ {TEXT}_{name}"
        for name in ("project_name", "description", "author_name", "author_email")
    }
    run(
        *COOKIECUTTER,
        str(TEMPLATE),
        *("--output-dir", str(tmp_path)),
        cwd=tmp_path,
        env=clean_environment(
            tmp_path / "home", PYTHONUTF8="1", PYTHONIOENCODING="utf-8"
        ),
        stdin="\n".join(
            texts.get(question, "async_app" if question == "project_slug" else "")
            for question in questions()
        )
        + "\n",
    )
    check_texts(RenderedProject(tmp_path / "async_app", {}), texts)
