"""Tests of hooks/: which answers are refused, and what is removed after a render."""

import ast
import os
import re
import shutil
import sys
import tomllib
from pathlib import Path, PurePosixPath

import pytest
from baking import (
    COOKIECUTTER,
    PROJECT_TREE,
    TEMPLATE,
    Bake,
    BakedProject,
    load_hook,
    questions,
    run,
    typed,
)
from baking import environment as environment_of
from combinations import PROJECTS, SLUGS, Answers

# Answer, and a word of the reason.
BAD_SLUGS = {
    "123abc": "such a name",
    "my project": "such a name",
    "my-app": "such a name",
    "My_App": "such a name",
    "_app": "such a name",
    "app_": "such a name",
    "Ünï": "such a name",
    "app.py": "such a name",
    "../evil": "such a name",
    "quo'te": "such a name",
    '"""': "such a name",
    "back\\slash": "such a name",
    "line\nbreak": "such a name",
    "app\n": "such a name",
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
    "test": "something else",
    "tests": "something else",
    "migrations": "something else",
    "pg_app": "PostgreSQL",
    "template1": "PostgreSQL",
    "con": "Windows",
    "lpt1": "Windows",
}

# A newline, other breaks and control characters, and half a character.
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

# Windows refuses to make the other folders before any hook runs.
NAMES_A_FOLDER = {
    name: answers
    for name, answers in BAD.items()
    if re.fullmatch(r"[\w. -]+", str(answers.get("project_slug", "x")), re.ASCII)
    and answers.get("project_slug") not in ("con", "lpt1")
}

# The hook's own standard library: none of these can see the day, the user or the network.
PURE = {
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
    """Render with the real command; give its status, the lines of stderr, and what is left."""
    out = tmp_path / "some" / "out"
    out.mkdir(parents=True)
    done = run(
        *COOKIECUTTER,
        str(TEMPLATE),
        "--no-input",
        "--output-dir",
        str(out),
        *typed(answers),
        cwd=tmp_path,
        env=environment_of(tmp_path / "home", **variables),
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
def test_the_command_refuses_it_in_one_sentence_and_leaves_no_folder(
    tmp_path: Path, answers: Answers
) -> None:
    ((variable, value),) = answers.items()
    status, said, left = render_by_command(tmp_path, answers, PYTHONUTF8="1")
    assert status == 1
    assert len(said) == 1
    assert said[0].startswith(f"{variable} is {value!r}, ")
    assert said[0].endswith(".")
    assert left == []


def test_an_empty_slug_is_refused_by_cookiecutter_itself(tmp_path: Path) -> None:
    status, _, left = render_by_command(tmp_path, {"project_slug": ""})
    assert status != 0
    assert left == []


def test_a_terminal_that_is_not_utf8_shows_escapes(tmp_path: Path) -> None:
    status, said, left = render_by_command(
        tmp_path,
        {"project_slug": "Ünï🎉"},
        PYTHONUTF8="0",
        PYTHONIOENCODING="ascii:strict",
    )
    assert status == 1
    assert said[0].startswith(r"project_slug is '\xdcn\xef\U0001f389', ")
    assert left == []


def test_a_refusal_leaves_a_project_that_was_there(tmp_path: Path) -> None:
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
        env=environment_of(tmp_path / "home"),
        status=1,
    )
    assert len(done.stderr.splitlines()) == 1
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("slug", BAD_SLUGS)
def test_a_slug_that_cannot_work_is_refused_with_the_reason(slug: str) -> None:
    sentence = load_hook("pre_gen_project").refusal(defaults() | {"project_slug": slug})
    assert sentence.startswith(f"project_slug is {slug!r}, which is ")
    assert BAD_SLUGS[slug] in sentence.split(":")[0]
    assert "choose 1 to 50 of a-z, 0-9 and _" in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("answers", BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_a_text_that_cannot_work_is_refused_with_the_reason(answers: Answers) -> None:
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


@pytest.mark.parametrize("answers", NAMES_A_FOLDER.values(), ids=NAMES_A_FOLDER)
def test_the_rendered_hook_refuses_it_with_status_one(
    bake: Bake, capfd: pytest.CaptureFixture[str], answers: Answers
) -> None:
    ((variable, value),) = answers.items()
    project = bake(**answers)
    assert "Hook script failed (exit status: 1)" in str(project.exception)
    (said,) = [
        line
        for line in capfd.readouterr().err.splitlines()
        if line.startswith(variable)
    ]
    # Cookiecutter renders what is given on the command line, and Jinja makes \r a \n.
    value = str(value).replace("\r", "\n")
    assert said.startswith(f"{variable} is {value!r}, ")


@pytest.mark.parametrize(
    "slug", [*SLUGS, "x" * 50, "app2", "a_b", "tests_of_it", "main"]
)
def test_a_slug_that_works_is_taken(bake: Bake, slug: str) -> None:
    project = bake(project_slug=slug)
    assert project.exception is None
    assert project.slug == slug


@pytest.mark.parametrize(
    "variable", ["project_name", "description", "author_name", "author_email"]
)
def test_no_text_breaks_out_of_a_hook(bake: Bake, variable: str) -> None:
    project = bake(**{"project_slug": "safe", variable: NASTY})
    assert project.exception is None


def test_an_empty_description_is_taken(bake: Bake) -> None:
    assert bake(description="").exception is None


@pytest.mark.parametrize("answers", PROJECTS.values(), ids=PROJECTS)
def test_no_project_can_have_the_name_of_what_it_depends_on(
    baked: Bake, answers: Answers
) -> None:
    pyproject = tomllib.loads(baked(**answers).read("pyproject.toml"))
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
def test_a_hook_imports_nothing_that_knows_the_day_or_the_user(name: str) -> None:
    tree = ast.parse((TEMPLATE / "hooks" / f"{name}.py").read_text(encoding="utf-8"))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    }
    assert imported <= PURE


def test_every_path_of_the_table_is_in_the_tree_of_the_template() -> None:
    paths = [
        path
        for paths in load_hook("post_gen_project").WANTED_BY.values()
        for path in paths
    ]
    assert paths
    assert [path for path in paths if not (PROJECT_TREE / path).exists()] == []


def test_every_row_of_the_table_names_a_question_and_an_answer_to_it() -> None:
    for row in load_hook("post_gen_project").WANTED_BY:
        for wish in row.split():
            question, answer = wish.split("=")
            default = questions()[question]
            choices = default if isinstance(default, list) else ("true", "false")
            assert answer in choices


@pytest.mark.parametrize("answers", PROJECTS.values(), ids=PROJECTS)
def test_what_was_not_chosen_is_gone_and_what_was_chosen_is_there(
    baked: Bake, answers: Answers
) -> None:
    project = baked(**answers)
    table = load_hook("post_gen_project").WANTED_BY
    given = {f"{name}={value}".lower() for name, value in answers.items()}
    listed = {path for paths in table.values() for path in paths}
    chosen = {
        path
        for row, paths in table.items()
        if given.issuperset(row.split())
        for path in paths
    }
    for path in listed:
        # A file of a folder that is gone is gone with it.
        above = {path, *map(str, PurePosixPath(path).parents)}
        there = project.path / path.replace(
            "{{cookiecutter.project_slug}}", project.slug
        )
        assert there.exists() == (above & listed <= chosen), there


@pytest.mark.parametrize("answers", PROJECTS.values(), ids=PROJECTS)
def test_no_folder_is_left_empty(baked: Bake, answers: Answers) -> None:
    folders = [path for path in baked(**answers).path.rglob("*") if path.is_dir()]
    assert [folder for folder in folders if not any(folder.iterdir())] == []


def test_rendering_over_a_project_changes_nothing_and_keeps_other_files(
    tmp_path: Path, baked: Bake
) -> None:
    first = baked(database="sqlite", sample_models=False)
    copy = BakedProject(tmp_path / first.slug, first.answers)
    shutil.copytree(first.path, copy.path)
    (copy.path / "mine.txt").write_text("mine")
    run(
        *COOKIECUTTER,
        str(TEMPLATE),
        *("--no-input", "--overwrite-if-exists", "--output-dir", str(tmp_path)),
        *typed(first.answers),
        cwd=tmp_path,
        env=environment_of(tmp_path / "home"),
    )
    after = copy.contents()
    assert after.pop("mine.txt")[0] == b"mine"
    assert after == first.contents()


def test_removing_stops_at_the_first_folder_that_is_not_empty(tmp_path: Path) -> None:
    remove = load_hook("post_gen_project").remove
    (tmp_path / "kept" / "emptied" / "deep").mkdir(parents=True)
    (tmp_path / "kept" / "emptied" / "deep" / "gone.txt").touch()
    (tmp_path / "kept" / "stays.txt").touch()
    for _ in range(2):
        remove(tmp_path / "kept" / "emptied" / "deep" / "gone.txt", tmp_path)
        assert [path.name for path in tmp_path.rglob("*")] == ["kept", "stays.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_removing_a_link_leaves_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "mine.txt").touch()
    (tmp_path / "project").mkdir()
    os.symlink(tmp_path / "outside", tmp_path / "project" / "scripts")
    load_hook("post_gen_project").remove(
        tmp_path / "project" / "scripts", tmp_path / "project"
    )
    assert not (tmp_path / "project" / "scripts").is_symlink()
    assert (tmp_path / "outside" / "mine.txt").exists()


def defaults() -> dict[str, str | bool]:
    """Give an answer that works to every question."""
    answers: dict[str, str | bool] = dict.fromkeys(questions(), "text")
    return answers | {"project_slug": "async_app"}
