"""Tests of rendering as a whole: the same answers give the same files, in the same tree."""

import time
from pathlib import Path

import pytest
from baking import COOKIECUTTER, TEMPLATE, Bake, BakedProject, run, typed
from baking import environment as environment_of
from combinations import PROJECTS, Answers

TREES = TEMPLATE / "tests" / "trees"

# Python runs this before cookiecutter and before each hook.
ANOTHER_DAY = """
import datetime
import time

_time = time.time
time.time = lambda: _time() + 500 * 24 * 3600


class Later(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(days=500)


datetime.datetime = Later
"""


def render(folder: Path, answers: Answers, **variables: str) -> BakedProject:
    """Render with the real command in an environment of its own."""
    run(
        *COOKIECUTTER,
        str(TEMPLATE),
        *("--no-input", "--output-dir", str(folder)),
        *typed(answers),
        cwd=TEMPLATE,
        env=environment_of(folder / "home", **variables),
    )
    return BakedProject(folder / "async_app", answers)


@pytest.mark.parametrize("answers", PROJECTS.values(), ids=PROJECTS)
def test_the_same_answers_give_the_same_bytes_on_any_day_and_in_any_place(
    tmp_path: Path, answers: Answers
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(ANOTHER_DAY)
    here = render(tmp_path / "here", answers, TZ="UTC", PYTHONHASHSEED="1")
    there = render(
        tmp_path / "an other place",
        answers,
        TZ="Pacific/Kiritimati",
        PYTHONHASHSEED="2",
        PYTHONPATH=str(tmp_path / "site"),
        LC_ALL="C",
        PYTHONUTF8="0",
    )
    assert there.files() == here.files()
    assert there.contents() == here.contents()


def test_the_faked_day_reaches_cookiecutter_and_hooks(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(ANOTHER_DAY)
    environment = environment_of(tmp_path, PYTHONPATH=str(tmp_path))
    said = run(
        *(COOKIECUTTER[0], "-c", "import arrow; print(arrow.now('UTC').timestamp())"),
        cwd=tmp_path,
        env=environment,
    ).stdout
    assert float(said) > time.time() + 400 * 24 * 3600


@pytest.mark.parametrize(("name", "answers"), PROJECTS.items(), ids=PROJECTS)
def test_the_tree_is_the_one_that_is_written_down(
    request: pytest.FixtureRequest, baked: Bake, name: str, answers: Answers
) -> None:
    tree = "".join(f"{path}\n" for path in baked(**answers).files())
    expected = TREES / f"{name}.txt"
    if request.config.getoption("--write-trees"):
        expected.write_text(tree, encoding="utf-8", newline="\n")
    assert tree == expected.read_text(
        encoding="utf-8"
    ), "`make trees` writes down the new tree"


def test_every_tree_that_is_written_down_belongs_to_a_project() -> None:
    assert {path.stem for path in TREES.iterdir()} == set(PROJECTS)


def test_the_default_project_stays_small(baked: Bake) -> None:
    assert len(baked().files()) < 50


def test_the_default_project_is_the_one_on_sqlite_with_samples(baked: Bake) -> None:
    assert baked().contents() == baked(database="sqlite", sample_models=True).contents()
