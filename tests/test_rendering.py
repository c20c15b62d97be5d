"""Tests of rendering as a whole: the same answers give the same files, in the same tree."""

import ast
import io
import time
import tokenize
from itertools import combinations
from pathlib import Path

import pytest
from baking import COOKIECUTTER, TEMPLATE, Bake, BakedProject, run, typed
from baking import environment as environment_of
from combinations import DATABASES, ENDS, PROJECTS, Answers

TREE = TEMPLATE / "tests" / "tree.txt"

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


@pytest.mark.parametrize("answers", ENDS.values(), ids=ENDS)
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


def conditions(answers: Answers) -> frozenset[str]:
    """Say in words what was answered."""
    return frozenset(
        str(value) if isinstance(value, str) else name if value else f"no {name}"
        for name, value in answers.items()
    )


def when(present: set[str], given: dict[str, frozenset[str]]) -> str:
    """Say in the fewest words which projects these are: "api cache | postgresql"."""
    words = sorted(set().union(*given.values()))
    left, said = set(present), []
    for length in range(len(words)):
        for chosen in combinations(words, length):
            those = {name for name, answers in given.items() if answers >= {*chosen}}
            if those and those <= present and those & left:
                left -= those
                said.append(" ".join(chosen) or "always")
    return " | ".join(said)


def test_each_project_has_the_files_that_are_written_down(
    request: pytest.FixtureRequest, baked: Bake
) -> None:
    given = {name: conditions(answers) for name, answers in PROJECTS.items()}
    having: dict[str, set[str]] = {}
    for name, answers in PROJECTS.items():
        for path in baked(**answers).files():
            having.setdefault(path, set()).add(name)
    width = max(map(len, having)) + 2
    tree = "".join(
        f"{path:{width}}{when(names, given)}\n"
        for path, names in sorted(having.items())
    )
    if request.config.getoption("--write-tree"):
        TREE.write_text(tree, encoding="utf-8", newline="\n")
    expected = TREE.read_text(encoding="utf-8")
    assert tree == expected, "`make tree` writes down which files there are, and when"


def test_the_default_project_stays_small(baked: Bake) -> None:
    assert len(baked().files()) <= 60


def lines_of_code(source: str) -> int:
    """Count the lines that hold code: no docstring, no comment, nothing blank."""
    texts = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    aside = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = {
        line
        for token in tokens
        if token.type not in (*aside, tokenize.DEDENT, tokenize.ENDMARKER)
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(code - texts)


@pytest.mark.parametrize("database", DATABASES)
def test_the_data_layer_stays_small(baked: Bake, database: str) -> None:
    project = baked(**PROJECTS[database])
    modules = ("settings", "dialect", "database", "repository")
    sources = [(project.package / f"{name}.py").read_text() for name in modules]
    assert sum(map(lines_of_code, sources)) < 600


def test_the_default_project_is_the_one_on_sqlite_with_samples(baked: Bake) -> None:
    assert baked().contents() == baked(**PROJECTS["sqlite"]).contents()
