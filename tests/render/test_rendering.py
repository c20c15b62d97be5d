"""Test rendering as a whole: the same answers give the same files."""

import time
from itertools import combinations
from pathlib import Path

import pytest

from support.combinations import ENDS, PROJECTS, Answers
from support.render import (
    COOKIECUTTER,
    TEMPLATE,
    Render,
    RenderedProject,
    as_arguments,
    clean_environment,
    run,
)

MANIFEST = TEMPLATE / "tests" / "support" / "manifest.txt"

# A sitecustomize.py, which Python runs before cookiecutter and before each hook.
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


def render_by_command(
    folder: Path, answers: Answers, **variables: str
) -> RenderedProject:
    """Render with the cookiecutter command and the given environment variables."""
    run(
        *COOKIECUTTER,
        str(TEMPLATE),
        *("--no-input", "--output-dir", str(folder)),
        *as_arguments(answers),
        cwd=TEMPLATE,
        env=clean_environment(folder / "home", **variables),
    )
    return RenderedProject(folder / "async_app", answers)


@pytest.mark.parametrize("answers", ENDS.values(), ids=ENDS)
def test_the_same_answers_give_the_same_bytes(tmp_path: Path, answers: Answers) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(ANOTHER_DAY)
    here = render_by_command(tmp_path / "here", answers, TZ="UTC", PYTHONHASHSEED="1")
    there = render_by_command(
        tmp_path / "another place",
        answers,
        TZ="Pacific/Kiritimati",
        PYTHONHASHSEED="2",
        PYTHONPATH=str(tmp_path / "site"),
        LC_ALL="C",
        PYTHONUTF8="0",
    )
    assert there.files() == here.files()
    assert there.contents() == here.contents()


def test_the_faked_date_reaches_cookiecutter_and_hooks(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(ANOTHER_DAY)
    env = clean_environment(tmp_path, PYTHONPATH=str(tmp_path))
    timestamp = run(
        *(COOKIECUTTER[0], "-c", "import arrow; print(arrow.now('UTC').timestamp())"),
        cwd=tmp_path,
        env=env,
    ).stdout
    assert float(timestamp) > time.time() + 400 * 24 * 3600


def conditions(answers: Answers) -> frozenset[str]:
    """Describe answers in words."""
    return frozenset(
        str(value) if isinstance(value, str) else name if value else f"no {name}"
        for name, value in answers.items()
    )


def when(present: set[str], given: dict[str, frozenset[str]]) -> str:
    """Describe a set of projects in the fewest words: "api cache | postgresql"."""
    words = sorted(set().union(*given.values()))
    left, terms = set(present), []
    for length in range(len(words)):
        for chosen in combinations(words, length):
            those = {name for name, answers in given.items() if answers >= {*chosen}}
            if those and those <= present and those & left:
                left -= those
                terms.append(" ".join(chosen) or "always")
    return " | ".join(terms)


def test_each_project_has_the_files_of_the_manifest(
    request: pytest.FixtureRequest, rendered: Render
) -> None:
    given = {name: conditions(answers) for name, answers in PROJECTS.items()}
    having: dict[str, set[str]] = {}
    for name, answers in PROJECTS.items():
        for path in rendered(**answers).files():
            having.setdefault(path, set()).add(name)
    width = max(map(len, having)) + 2
    manifest = "".join(
        f"{path:{width}}{when(names, given)}\n"
        for path, names in sorted(having.items())
    )
    if request.config.getoption("--write-manifest"):
        MANIFEST.write_text(manifest, encoding="utf-8", newline="\n")
    expected = MANIFEST.read_text(encoding="utf-8")
    assert manifest == expected, "if this is what you want, run `make manifest`"


def test_the_default_project_is_on_sqlite_with_samples(rendered: Render) -> None:
    assert rendered().contents() == rendered(**PROJECTS["sqlite"]).contents()
