"""Test hooks/pre_gen_project.py, which refuses answers that cannot work."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from support.combinations import PROJECTS, SLUGS, Answers
from support.render import (
    COOKIECUTTER,
    TEMPLATE,
    Render,
    as_arguments,
    clean_environment,
    load_hook,
    questions,
    run,
)

# Slugs, each with words of the reason to refuse it.
BAD_SLUGS = {
    "123abc": "valid name",
    "my project": "valid name",
    "my-app": "valid name",
    "My_App": "valid name",
    "_app": "valid name",
    "app_": "valid name",
    "Ünï": "valid name",
    "app.py": "valid name",
    "../evil": "valid name",
    "quo'te": "valid name",
    '"""': "valid name",
    "back\\slash": "valid name",
    "line\nbreak": "valid name",
    "app\n": "valid name",
    "x" * 51: "51 characters",
    "class": "keyword",
    "match": "keyword",
    "type": "keyword",
    "json": "standard library",
    "asyncio": "standard library",
    "distutils": "standard library",
    "compression": "standard library",
    "sqlalchemy": "dependency",
    "alembic": "dependency",
    "pydantic_settings": "dependency",
    "pydantic__settings": "dependency",
    "fastapi": "dependency",
    "test": "folder in the project",
    "tests": "folder in the project",
    "migrations": "folder in the project",
    "examples": "folder in the project",
    "support": "folder in the project",
    "pg_app": "PostgreSQL",
    "template1": "PostgreSQL",
    "con": "Windows",
    "lpt1": "Windows",
}

# Line breaks and control characters.
UNPRINTABLE = (
    "two\nlines",
    "two\rlines",
    "nul\0",
    "bell\a",
    "two\u2028lines",
    "two\u2029lines",
)
BAD_TEXTS = {
    **{
        f"{key} {text!r}": {key: text}
        for key in ("description",)
        for text in UNPRINTABLE
    },
    **{
        f"{key} {text!r}": {key: text}
        for key in ("project_name", "author_name", "author_email")
        for text in ("two\nlines", "", "  ")
    },
}
BAD: dict[str, Answers] = {
    **{f"project_slug {slug!r}": {"project_slug": slug} for slug in BAD_SLUGS},
    **BAD_TEXTS,  # type: ignore[dict-item]
}

# Slugs that are valid folder names on Windows, where the others fail before any hook runs.
VALID_FOLDERS = {
    name: answers
    for name, answers in BAD.items()
    if re.fullmatch(r"[\w. -]+", str(answers.get("project_slug", "x")), re.ASCII)
    and answers.get("project_slug") not in ("con", "lpt1")
}

# Modules that cannot see the date, the user or the network.
PURE_MODULES = {
    "json",
    "keyword",
    "pathlib",
    "re",
    "shutil",
    "sys",
    "unicodedata",
    "urllib.parse",
}

NASTY = """ "'`\\ \\n \\u2028 \"\"\" ''' </script> %s %(x)s $HOME ${x} {x} #{ *@£€ ß 日本 🎉 """.strip()


def render_by_command(
    tmp_path: Path, answers: Answers, **variables: str
) -> tuple[int, list[str], list[Path]]:
    """Render with the cookiecutter command; return its status, stderr's lines and new files."""
    out = tmp_path / "some" / "out"
    out.mkdir(parents=True, exist_ok=True)
    done = run(
        *COOKIECUTTER,
        str(TEMPLATE),
        "--no-input",
        "--output-dir",
        str(out),
        *as_arguments(answers),
        cwd=tmp_path,
        env=clean_environment(tmp_path / "home", **variables),
        status=None,
    )
    left = [
        path
        for path in tmp_path.rglob("*")
        if tmp_path / "home" not in (path, *path.parents)
    ]
    return (
        done.returncode,
        done.stderr.splitlines(),
        sorted(set(left) - {out, out.parent}),
    )


@pytest.mark.parametrize(
    "answers",
    [
        {"project_slug": "123abc"},
        {"project_slug": "my project"},
        {"project_slug": "class"},
        {"project_slug": "match"},
        {"project_slug": "json"},
        {"project_slug": "test"},
        {"project_slug": "sqlalchemy"},
        {"project_slug": "alembic"},
        {"project_slug": "my-app"},
        {"project_slug": "Ünï"},
        {"project_slug": "pg_app"},
        {"project_slug": "x" * 51},
        {"project_slug": "../evil"},
        {"project_name": ""},
        {"description": "two\nlines"},
    ],
    ids=repr,
)
def test_a_refusal_is_one_sentence_and_leaves_no_folder(
    tmp_path: Path, answers: Answers
) -> None:
    ((variable, value),) = answers.items()
    status, lines, left = render_by_command(tmp_path, answers, PYTHONUTF8="1")
    assert status == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"{variable} is {value!r}, ")
    assert lines[0].endswith(".")
    assert left == []


@pytest.mark.parametrize("there", [False, True], ids=["", "beside other files"])
@pytest.mark.parametrize("slug", ["a/b", "a/b/c", "../x", "../a/b", "/absolute/a/b"])
def test_a_slug_with_slashes_creates_and_removes_no_folder(
    tmp_path: Path, slug: str, there: bool
) -> None:
    # An absolute path in a folder where this test may write.
    slug = slug.replace("/absolute", f"{tmp_path}/absolute")
    folder = tmp_path / "some" / "out" / slug
    mine: list[Path] = []
    if there:
        # Empty folders that the user has, one of them in the project's place.
        (tmp_path / "some" / "out").mkdir(parents=True)
        folder.mkdir(parents=True)
        mine = [path for path in tmp_path.rglob("*") if path.is_dir()]
    status, lines, left = render_by_command(
        tmp_path, {"project_slug": slug}, PYTHONUTF8="1"
    )
    assert status == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"project_slug is {slug!r}, which is not a valid name")
    out = tmp_path / "some" / "out"
    assert left == sorted({*mine} - {out, out.parent})


def test_an_empty_slug_is_refused_by_cookiecutter_itself(tmp_path: Path) -> None:
    status, _, left = render_by_command(tmp_path, {"project_slug": ""})
    assert status != 0
    assert left == []


def test_a_terminal_without_utf8_shows_escapes(tmp_path: Path) -> None:
    status, lines, left = render_by_command(
        tmp_path,
        {"project_slug": "Ünï🎉"},
        PYTHONUTF8="0",
        PYTHONIOENCODING="ascii:strict",
    )
    assert status == 1
    assert lines[0].startswith(r"project_slug is '\xdcn\xef\U0001f389', ")
    assert left == []


def test_a_refusal_leaves_an_existing_project(tmp_path: Path) -> None:
    mine = tmp_path / "some" / "json" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    done = run(
        *COOKIECUTTER,
        str(TEMPLATE),
        *(
            "--no-input",
            "--overwrite-if-exists",
            "--output-dir",
            str(tmp_path / "some"),
        ),
        "project_slug=json",
        cwd=tmp_path,
        env=clean_environment(tmp_path / "home"),
        status=1,
    )
    assert len(done.stderr.splitlines()) == 1
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("slug", BAD_SLUGS)
def test_a_bad_slug_is_refused_with_the_reason(slug: str) -> None:
    sentence = load_hook("pre_gen_project").refusal(defaults() | {"project_slug": slug})
    assert sentence.startswith(f"project_slug is {slug!r}, which is ")
    assert BAD_SLUGS[slug] in sentence.split(":")[0]
    assert "use 1 to 50 characters of a-z, 0-9 and _" in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("answers", BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_a_bad_text_is_refused_with_the_reason(answers: Answers) -> None:
    ((variable, value),) = answers.items()
    sentence = load_hook("pre_gen_project").refusal(defaults() | answers)
    allowed = (
        "one line without control characters" if str(value).strip() else "not be empty"
    )
    assert (
        sentence
        == f"{variable} is {value!r}, but it must {sentence.split(' must ')[1]}"
    )
    assert allowed in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("answers", VALID_FOLDERS.values(), ids=VALID_FOLDERS)
def test_the_rendered_hook_exits_with_status_one(
    render: Render, capfd: pytest.CaptureFixture[str], answers: Answers
) -> None:
    ((variable, value),) = answers.items()
    project = render(**answers)
    assert "Hook script failed (exit status: 1)" in str(project.exception)
    (refused,) = [
        line
        for line in capfd.readouterr().err.splitlines()
        if line.startswith(variable)
    ]
    # Cookiecutter renders the command line's answers, and Jinja replaces \r by \n.
    value = str(value).replace("\r", "\n")
    assert refused.startswith(f"{variable} is {value!r}, ")


@pytest.mark.parametrize(
    "slug", [*SLUGS, "x" * 50, "app2", "a_b", "tests_of_it", "main"]
)
def test_a_good_slug_is_accepted(render: Render, slug: str) -> None:
    project = render(project_slug=slug)
    assert project.exception is None
    assert project.slug == slug


@pytest.mark.parametrize(
    "variable", ["project_name", "description", "author_name", "author_email"]
)
def test_no_text_can_escape_from_a_hook(render: Render, variable: str) -> None:
    project = render(**{"project_slug": "safe", variable: NASTY})
    assert project.exception is None


def test_an_empty_description_is_accepted(render: Render) -> None:
    assert render(description="").exception is None


@pytest.mark.parametrize("answers", PROJECTS.values(), ids=PROJECTS)
def test_the_names_of_dependencies_are_reserved(
    rendered: Render, answers: Answers
) -> None:
    pyproject = tomllib.loads(rendered(**answers).read("pyproject.toml"))
    wanted = [
        *pyproject["project"]["dependencies"],
        *pyproject["build-system"]["requires"],
        *(each for group in pyproject["dependency-groups"].values() for each in group),
    ]
    names = {
        re.split(r"[^\w.-]", each)[0].lower().replace("-", "_").replace(".", "_")
        for each in wanted
        if isinstance(each, str)
    }
    assert names - load_hook("pre_gen_project").DEPENDENCIES == set()


@pytest.mark.parametrize("name", ["pre_gen_project", "post_gen_project"])
def test_a_hook_imports_only_pure_modules(name: str) -> None:
    tree = ast.parse((TEMPLATE / "hooks" / f"{name}.py").read_text(encoding="utf-8"))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    }
    assert imported <= PURE_MODULES


def defaults() -> dict[str, str | bool]:
    """Return valid answers to all questions."""
    answers: dict[str, str | bool] = dict.fromkeys(questions(), "text")
    return answers | {"project_slug": "async_app"}
