"""Runs every combination of answers for real, on every Python here, and writes the page.

    make test-all                   or: python tests/matrix.py [name of a project ...]

Each project is rendered, installed into an environment of its own, formatted, typed,
migrated up, checked, down and up again, and runs its own tests. Both ends of the allowed
versions of dependencies are tried: as new as there are for all, as old as may be for the
least and the most of each database. With names it runs these, and writes nothing.
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

import redis_server
from baking import (
    AT_ONCE,
    COOKIECUTTER,
    TEMPLATE,
    BakedProject,
    environment,
    run,
    typed,
)
from combinations import ENDS, OPTIONS, PROJECTS, Answers
from installing import Installed, install_project, uv
from migrating import SEVERAL

PAGE = TEMPLATE / "docs" / "matrix.md"
CACHE = TEMPLATE / ".cache"
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
NEWEST, OLDEST = "highest", "lowest-direct"
# Tools are tried as they are today: an older one has other tastes.
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
# Every combination, run for real

`make test-all` writes this page. Each project is rendered and installed into an environment of its
own, with the newest dependencies that it allows. It is formatted and typed as it comes; its
database is migrated up, checked, taken down, and migrated up again; and its own tests run. What is
formatted and typed on Python {first} is not tried again on the others, which say what migrations
and tests did there.

{run}
"""
VERSIONS = """
## Old and new dependencies

The same steps with the oldest versions that each project allows for what it names itself
(`--resolution lowest-direct`), on Python {first}, and what the two ends were. Old tools have other
tastes, so only new ones check format and types.

"""


@dataclass
class Case:
    """One project on one Python, with old or new dependencies, and what came of it."""

    name: str
    answers: Answers
    python: str
    resolution: str
    steps: tuple[str, ...]
    results: dict[str, str] = field(default_factory=dict)
    seconds: float = 0
    versions: dict[str, str] = field(default_factory=dict)

    def row(self) -> str:
        """Say how it went, step by step, or where it failed."""
        failed = [step for step, said in self.results.items() if said != "yes"]
        return f"**{failed[0]}**" if failed else "yes"


def find_pythons() -> dict[str, Path]:
    """Find the Pythons of this machine that a project may run on, by their version."""
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
        # uv does not look there when the version is not chosen.
        elif others := sorted(PYENV.glob(f"versions/{version}.*/bin/python")):
            found[version] = others[-1]
    return found


def cases(pythons: dict[str, Path], wanted: list[str]) -> Iterator[Case]:
    """Yield what there is to run, with what takes longest first."""
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
    # The place of the case before, so that what Python has compiled of the libraries
    # and mypy has read of them is still true.
    place = folders / threading.current_thread().name
    caches = {
        "PYTHONPYCACHEPREFIX": str(folders / "compiled"),
        "MYPY_CACHE_DIR": str(place.with_suffix(".mypy")),
    }
    project = place / "async_app"
    env = environment(place / "home", **variables, **caches)
    try:
        for step in case.steps:
            _step(step, case, project, python, env)
            case.results[step] = "yes"
    except (AssertionError, subprocess.SubprocessError) as error:
        case.results[step] = "no"
        print(f"{case.name} on {case.python}, {step}: {error}", file=sys.stderr)
    shutil.rmtree(place)
    case.seconds = time.monotonic() - started
    how = "" if case.resolution == NEWEST else f", {case.resolution}"
    print(
        f"{case.name} on Python {case.python}{how}: {case.row()}, {case.seconds:.0f} s",
        flush=True,
    )
    return case


def _step(
    step: str, case: Case, project: Path, python: Path, env: dict[str, str]
) -> None:
    installed = Installed(BakedProject(project, case.answers), env)
    if step == "rendered":
        options = ("--no-input", "--default-config", "--output-dir", "..")
        answers = typed(case.answers)
        run(*COOKIECUTTER, TEMPLATE, *options, *answers, cwd=Path(env["HOME"]), env=env)
    elif step == "installed":
        install_project(project, env, "--resolution", case.resolution, python=python)
        listed = uv(env, "pip", "freeze", "--python", installed.python, cwd=project)
        lines = (line.partition("==") for line in listed.splitlines())
        case.versions = {name: version for name, _, version in lines if version}
    elif step == "migrated":
        installed.served(installed.python, "-c", SEVERAL, *MIGRATIONS)
    for command in STEPS[step]:
        installed.run(*command)


def table(done: list[Case], pythons: list[str]) -> str:
    """Draw the table of what each combination did."""
    first, *others = pythons
    steps = [step for step in STEPS if step != "installed"]
    heads = ["database", *OPTIONS, *steps, *(f"Python {each}" for each in others)]
    lines = [_line([*heads, "seconds"]), _line(["---"] * (len(heads) + 1))]
    for name, answers in PROJECTS.items():
        mine = [each for each in done if each.name == name]
        new = {each.python: each for each in mine if each.resolution == NEWEST}
        chosen = [("yes" if answers[option] else "") for option in OPTIONS]
        said = [new[first].results.get(step, "**no**") for step in steps]
        said = ["**no**" if each == "no" else each for each in said]
        elsewhere = [new[python].row() for python in others]
        seconds = f"{sum(each.seconds for each in new.values()):.0f}"
        cells = [str(answers["database"]), *chosen, *said, *elsewhere, seconds]
        lines.append(_line(cells))
    return "\n".join(lines) + "\n"


def ends(done: list[Case]) -> str:
    """Draw the table of what the oldest dependencies did, and of what the ends were."""
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
    """Run everything, write the page, and return 1 if something failed."""
    started = time.monotonic()
    if unknown := [name for name in wanted if name not in PROJECTS]:
        print(f"no such project: {unknown[0]}; there are {', '.join(PROJECTS)}")
        return 1
    pythons = find_pythons()
    try:
        variables = redis_server.variables(CACHE / "redis")
        redis = "the tests of the cache had a Redis server"
    except redis_server.Unavailable as reason:
        variables, redis = {}, f"the tests of the cache were skipped: {reason}"
    variables["UV_CACHE_DIR"] = str(CACHE / "uv")
    with ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="matrix-")
        folders = Path(stack.enter_context(made))
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
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
