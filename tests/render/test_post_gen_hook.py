"""Test hooks/post_gen_project.py, which removes what was not chosen."""

import os
import shutil
import sys
from pathlib import Path, PurePosixPath

import pytest

from support.combinations import PROJECTS, Answers
from support.render import (
    COOKIECUTTER,
    PROJECT_TREE,
    TEMPLATE,
    Render,
    RenderedProject,
    as_arguments,
    clean_environment,
    load_hook,
    questions,
    run,
)


def test_every_path_of_the_table_is_in_the_template() -> None:
    paths = [
        path
        for paths in load_hook("post_gen_project").WANTED_BY.values()
        for path in paths
    ]
    assert paths
    assert [path for path in paths if not (PROJECT_TREE / path).exists()] == []


def test_every_row_of_the_table_names_a_question_and_an_answer() -> None:
    for row in load_hook("post_gen_project").WANTED_BY:
        for condition in row.split():
            question, answer = condition.split("=")
            default = questions()[question]
            choices = default if isinstance(default, list) else ("true", "false")
            assert answer in choices


@pytest.mark.parametrize("answers", PROJECTS.values(), ids=PROJECTS)
def test_only_what_was_chosen_is_rendered(rendered: Render, answers: Answers) -> None:
    project = rendered(**answers)
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
        # A file goes with its folder.
        above = {path, *map(str, PurePosixPath(path).parents)}
        actual = project.path / path.replace(
            "{{cookiecutter.project_slug}}", project.slug
        )
        assert actual.exists() == (above & listed <= chosen), actual


@pytest.mark.parametrize("answers", PROJECTS.values(), ids=PROJECTS)
def test_no_folder_is_empty(rendered: Render, answers: Answers) -> None:
    folders = [path for path in rendered(**answers).path.rglob("*") if path.is_dir()]
    assert [folder for folder in folders if not any(folder.iterdir())] == []


def test_rendering_over_a_project_keeps_its_files(
    tmp_path: Path, rendered: Render
) -> None:
    first = rendered(database="sqlite", sample_models=False)
    copy = RenderedProject(tmp_path / first.slug, first.answers)
    shutil.copytree(first.path, copy.path)
    (copy.path / "mine.txt").write_text("mine")
    run(
        *COOKIECUTTER,
        str(TEMPLATE),
        *("--no-input", "--overwrite-if-exists", "--output-dir", str(tmp_path)),
        *as_arguments(first.answers),
        cwd=tmp_path,
        env=clean_environment(tmp_path / "home"),
    )
    after = copy.contents()
    assert after.pop("mine.txt")[0] == b"mine"
    assert after == first.contents()


def test_removing_stops_at_the_first_folder_with_other_files(tmp_path: Path) -> None:
    remove = load_hook("post_gen_project").remove
    (tmp_path / "kept" / "emptied" / "deep").mkdir(parents=True)
    (tmp_path / "kept" / "emptied" / "deep" / "gone.txt").touch()
    (tmp_path / "kept" / "stays.txt").touch()
    for _ in range(2):
        remove(tmp_path / "kept" / "emptied" / "deep" / "gone.txt", tmp_path)
        assert [path.name for path in tmp_path.rglob("*")] == ["kept", "stays.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_removing_a_link_keeps_its_target(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "mine.txt").touch()
    (tmp_path / "project").mkdir()
    os.symlink(tmp_path / "outside", tmp_path / "project" / "scripts")
    load_hook("post_gen_project").remove(
        tmp_path / "project" / "scripts", tmp_path / "project"
    )
    assert not (tmp_path / "project" / "scripts").is_symlink()
    assert (tmp_path / "outside" / "mine.txt").exists()
