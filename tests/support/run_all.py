"""Install and test every project on every Python of this machine, and write docs/matrix.md.

    make test-all          or, in tests/: python -m support.run_all [name of a project ...]

Each project is rendered, installed, checked for format and types, migrated up, down and up
again, and runs its own tests. Every project gets the newest dependencies that it allows; the
smallest, the default and the largest of each database also get the oldest. Named projects are
run without writing the page.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from support import redis_server
from support.combinations import ENDS, OPTIONS, PROJECTS, Answers
from support.installing import Installed, install_project, uv
from support.migrating import ALEMBIC_SCRIPT
from support.render import (
    COOKIECUTTER,
    MAX_WORKERS,
    TEMPLATE,
    RenderedProject,
    as_arguments,
    clean_environment,
    run,
)

PAGE = TEMPLATE / "docs" / "matrix.md"
CACHE = TEMPLATE / ".cache"
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
NEWEST, OLDEST = "highest", "lowest-direct"
# Format and types are only checked with the newest tools: older ones have other rules.
STEPS = {
    "rendered": (),
    "installed": (),
    "formatted": (("black", "--check", "--quiet", "."), ("ruff", "check", ".")),
    "typed": (("mypy",),),
    "migrated": (),
    "own tests": (("pytest", "--quiet", "-p", "no:cacheprovider"),),
}
ONCE = ("formatted", "typed")
MIGRATIONS = ("upgrade head", "check", "downgrade base", "upgrade head", "check")

HEAD = """\
# Every combination, installed and tested

`make test-all` writes this page. Each project is rendered and installed into its own environment,
with the newest dependencies that it allows. Black, ruff and mypy check it unchanged; its database
is migrated to the head, to the base and to the head again; and its own tests run. Format and types
are checked on Python {first} only; the columns of the other Pythons show migrations and tests.

{run}
"""
VERSIONS = """
## Old and new dependencies

The same steps on Python {first} with the oldest versions of direct dependencies that each project
allows (`--resolution lowest-direct`), and the oldest and newest version of each dependency. Old
tools have other rules, so only new ones check format and types.

"""


@dataclass
class Case:
    """One project on one Python with old or new dependencies, and its results."""

    name: str
    answers: Answers
    python: str
    resolution: str
    steps: tuple[str, ...]
    results: dict[str, str] = field(default_factory=dict)
    seconds: float = 0
    versions: dict[str, str] = field(default_factory=dict)

    def row(self) -> str:
        """Return "yes", or the step that failed."""
        failed = [step for step, result in self.results.items() if result != "yes"]
        return f"**{failed[0]}**" if failed else "yes"


def find_pythons() -> dict[str, Path]:
    """Map each supported version to a Python of this machine, if there is one."""
    found = {}
    for version in SUPPORTED:
        command = (
            sys.executable,
            "-m",
            "uv",
            "python",
            "find",
            "--no-project",
            version,
        )
        done = subprocess.run(
            [*command, "--no-python-downloads"], capture_output=True, text=True
        )
        if done.returncode == 0:
            found[version] = Path(done.stdout.strip())
        # uv ignores pyenv's versions that are not activated.
        elif others := sorted(PYENV.glob(f"versions/{version}.*/bin/python")):
            found[version] = others[-1]
    return found


def cases(pythons: dict[str, Path], wanted: list[str]) -> Iterator[Case]:
    """Yield all cases, the slowest first."""
    chosen = {name: PROJECTS[name] for name in wanted or list(PROJECTS)[::-1]}
    first, *others = pythons
    steps = tuple(step for step in STEPS if step not in ONCE)
    for name, answers in chosen.items():
        yield Case(name, answers, first, NEWEST, (*STEPS,))
        if name in ENDS:
            yield Case(name, answers, first, OLDEST, steps)
        for python in others:
            yield Case(name, answers, python, NEWEST, steps)


def execute(case: Case, python: Path, folders: Path, variables: dict[str, str]) -> Case:
    """Run the steps of a case until one fails."""
    started = time.monotonic()
    # Each thread reuses one folder, which keeps Python's and mypy's caches of the libraries valid.
    place = folders / threading.current_thread().name
    caches = {
        "PYTHONPYCACHEPREFIX": str(folders / "compiled"),
        "MYPY_CACHE_DIR": str(place.with_suffix(".mypy")),
    }
    project = place / "async_app"
    env = clean_environment(place / "home", **variables, **caches)
    try:
        for step in case.steps:
            _step(step, case, project, python, env)
            case.results[step] = "yes"
    except (AssertionError, subprocess.SubprocessError) as error:
        case.results[step] = "no"
        print(f"{case.name} on {case.python}, {step}: {error}", file=sys.stderr)
    shutil.rmtree(place)
    case.seconds = time.monotonic() - started
    note = "" if case.resolution == NEWEST else f", {case.resolution}"
    print(
        f"{case.name} on Python {case.python}{note}: {case.row()}, {case.seconds:.0f} s",
        flush=True,
    )
    return case


def _step(
    step: str, case: Case, project: Path, python: Path, env: dict[str, str]
) -> None:
    installed = Installed(RenderedProject(project, case.answers), env)
    if step == "rendered":
        options = ("--no-input", "--default-config", "--output-dir", "..")
        answers = as_arguments(case.answers)
        run(*COOKIECUTTER, TEMPLATE, *options, *answers, cwd=Path(env["HOME"]), env=env)
    elif step == "installed":
        install_project(project, env, "--resolution", case.resolution, python=python)
        listed = uv(env, "pip", "freeze", "--python", installed.python, cwd=project)
        lines = (line.partition("==") for line in listed.splitlines())
        case.versions = {name: version for name, _, version in lines if version}
    elif step == "migrated":
        installed.run_with_database(installed.python, "-c", ALEMBIC_SCRIPT, *MIGRATIONS)
    for command in STEPS[step]:
        installed.run(*command)


def table(done: list[Case], pythons: list[str]) -> str:
    """Format the table of all projects with the newest dependencies."""
    first, *others = pythons
    steps = [step for step in STEPS if step != "installed"]
    heads = ["database", *OPTIONS, *steps, *(f"Python {each}" for each in others)]
    lines = [_line([*heads, "seconds"]), _line(["---"] * (len(heads) + 1))]
    for name, answers in PROJECTS.items():
        mine = [each for each in done if each.name == name]
        new = {each.python: each for each in mine if each.resolution == NEWEST}
        chosen = [("yes" if answers[option] else "") for option in OPTIONS]
        results = [new[first].results.get(step, "**no**") for step in steps]
        results = ["**no**" if each == "no" else each for each in results]
        elsewhere = [new[python].row() for python in others]
        seconds = f"{sum(each.seconds for each in new.values()):.0f}"
        cells = [str(answers["database"]), *chosen, *results, *elsewhere, seconds]
        lines.append(_line(cells))
    return "\n".join(lines) + "\n"


def ends(done: list[Case]) -> str:
    """Format the table of the oldest dependencies, and that of oldest and newest versions."""
    old = [each for each in done if each.resolution == OLDEST]
    lines = [_line(["project", "with the oldest", "seconds"]), _line(["---"] * 3)]
    lines += [_line([each.name, each.row(), f"{each.seconds:.0f}"]) for each in old]
    lines += ["", _line(["dependency", "oldest", "newest"]), _line(["---"] * 3)]
    oldest: dict[str, str] = {}
    newest: dict[str, str] = {}
    for each in done:
        (oldest if each.resolution == OLDEST else newest).update(each.versions)
    for name in sorted(oldest.keys() & newest.keys()):
        if oldest[name] != newest[name]:
            lines.append(_line([f"`{name}`", oldest[name], newest[name]]))
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(wanted: list[str]) -> int:
    """Run all cases, write the page, and return 1 if a case failed."""
    started = time.monotonic()
    if unknown := [name for name in wanted if name not in PROJECTS]:
        print(f"unknown project {unknown[0]}; choose from {', '.join(PROJECTS)}")
        return 1
    pythons = find_pythons()
    try:
        variables = redis_server.variables(CACHE / "redis")
        redis = "tests of the cache used a Redis server"
    except redis_server.RedisUnavailableError as reason:
        variables, redis = {}, f"tests of the cache were skipped: {reason}"
    variables["UV_CACHE_DIR"] = str(CACHE / "uv")
    with ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="matrix-")
        folders = Path(stack.enter_context(made))
        pool = stack.enter_context(ThreadPoolExecutor(MAX_WORKERS))
        running = [
            pool.submit(execute, case, pythons[case.python], folders, variables)
            for case in cases(pythons, wanted)
        ]
        done = [each.result() for each in running]
    if not wanted:
        first = next(iter(pythons))
        machine = f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores"
        minutes = round((time.monotonic() - started) / 60)
        run = (
            f"This run: {machine}, {minutes} minutes, {time.strftime('%Y-%m-%d')};"
            f" Python {', '.join(pythons)}; {redis}."
        )
        text = HEAD.format(first=first, run=textwrap.fill(run, 100))
        text += "\n" + table(done, list(pythons))
        text += VERSIONS.format(first=first) + ends(done)
        PAGE.write_text(text, encoding="utf-8", newline="\n")
    return int(any(each.row() != "yes" for each in done))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
