"""Render, install and measure projects, and write docs/benchmarks.md.

python benchmarks/run.py [database or part ...]

The parts are data_layer, migrations, api and search. Other sections of the page are kept.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[1]
CACHE = TEMPLATE / ".cache" / "bench"
PAGE = TEMPLATE / "docs" / "benchmarks.md"
NAMED = (
    *("advanced-alchemy", "aiosqlite", "alembic", "asyncpg", "fastapi"),
    *("fastapi-template", "sqlalchemy", "uvicorn"),
)
# A developer's PYTHONDONTWRITEBYTECODE would make each command compile all modules.
UNSET = ("DATABASE_URL", "PYTHONDONTWRITEBYTECODE")
RIVAL = "fastapi_template>=6.1,<7"
HEAD = """\
# Benchmarks

`make bench` writes this page. Each row compares two programs in one run: they alternate, and the
ratio is the median over neighbouring rounds, with the lowest and the highest. **no** marks an aim
that is not reached.
"""
FASTER = """
## {database}: the data layer

{run}

The ratio of the other's time to ours. The database is
{where}.

| what | against | ratio | spread | at least | reached |
|---|---|---|---|---|---|
{rows}"""
LONGER = """
## {database}: migrations

{run}

The ratio of our time to the other's.

| what | against | ratio | spread | at most | reached |
|---|---|---|---|---|---|
{rows}"""
API = """
## {database}: the API

{run}

The ratio of our requests per second to those of a project of `fastapi_template`, with one process
of uvicorn each, the same database and the same rows.

| what | against | ratio | spread | at least | reached |
|---|---|---|---|---|---|
{rows}"""
SEARCH = """
## {database}: the search

{run}

| what | median | spread |
|---|---|---|
{rows}"""
PARTS = {"data_layer": FASTER, "migrations": LONGER, "api": API, "search": SEARCH}
TITLES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
WHERE = {
    "sqlite": "a file in WAL mode",
    "postgresql": "the embedded server, on the same machine, with fsync",
}


def call(*command: object, cwd: Path = TEMPLATE, **variables: str) -> str:
    """Run a command and return what it prints."""
    env = {k: v for k, v in os.environ.items() if k not in UNSET} | variables
    arguments = [str(part) for part in command]
    return subprocess.run(
        arguments, env=env, check=True, stdout=subprocess.PIPE, text=True, cwd=cwd
    ).stdout


def install(python: Path, *wanted: object) -> None:
    """Install into an environment, with the template's own uv."""
    uv = (sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python)
    call(*uv, *wanted)


def make_environment(folder: Path) -> Path:
    """Create an empty environment, and return its Python."""
    uv = (sys.executable, "-m", "uv", "venv", "--quiet", "--clear")
    call(*uv, "--python", sys.executable, folder)
    return folder / "bin" / "python"


def prepare(database: str) -> tuple[Path, Path]:
    """Render and install a project with API and search, and the data layer's rivals beside it."""
    folder = CACHE / database
    call(
        *(sys.executable, "-m", "cookiecutter", TEMPLATE, "--no-input"),
        *("--overwrite-if-exists", "--default-config", "--output-dir", folder),
        *(f"database={database}", "api=true", "search=true"),
        HOME=str(CACHE / "home"),
    )
    project = folder / "async_app"
    python = make_environment(project / ".venv")
    group = f"{project}/pyproject.toml:dev"
    install(python, "--editable", project, "--group", group)
    install(python, "advanced-alchemy>=1.8,<2", "cookiecutter>=2.7,<3", "numpy")
    return project, python


def prepare_rival(database: str) -> tuple[Path, Path]:
    """Create a project with fastapi_template, and install both projects into one environment.

    One environment means that both run with the same libraries.
    """
    folder = CACHE / f"rival-{database}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    python = make_environment(folder / "venv")
    install(python, RIVAL)
    call(
        *(python, "-m", "fastapi_template", "--name", "rival", "--quiet"),
        *("--api-type", "rest", "--orm", "sqlalchemy", "--dummy", "--routers"),
        *("--migrations", "--ci", "none", "--db", database),
        cwd=folder,
        HOME=str(CACHE / "home"),
        # fastapi_template looks for uv on the PATH.
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )
    project = CACHE / database / "async_app"
    install(python, "--editable", project, "-r", folder / "rival" / "pyproject.toml")
    return folder / "rival", python


def measure(database: str, parts: list[str]) -> list[str]:
    """Return the sections of the page about one database."""
    project, python = prepare(database)
    arguments: dict[str, tuple[object, ...]] = {"migrations": (database,)}
    environments = dict.fromkeys(parts, python)
    if "api" in parts:
        rival, environments["api"] = prepare_rival(database)
        arguments["api"] = (project, rival)
    served: tuple[object, ...] = ()
    variables = {}
    if database == "postgresql":
        # The script passes on the URL of the server that it starts.
        served = (python, project / "scripts" / "embedded_postgres.py")
    else:
        for old in project.parent.glob("bench.db*"):
            old.unlink()
        variables["DATABASE_URL"] = f"sqlite:///{project.parent / 'bench.db'}"
    sections = []
    for part, environment in environments.items():
        script = TEMPLATE / "benchmarks" / f"{part}.py"
        command = (environment, script, *arguments.get(part, ()))
        rows = call(*served, *command, **variables)
        section = PARTS[part].format(
            database=TITLES[database],
            where=WHERE[database],
            run=this_run(environment),
            rows=rows,
        )
        sections.append(section)
        print(section, flush=True)
    return sections


def by_heading(sections: list[str]) -> dict[str, str]:
    """Map the heading of each section to the section, whose first line is empty."""
    return {section.split("\n")[1]: section for section in sections}


def this_run(python: Path) -> str:
    """Describe the date, the machine and the versions of a run."""
    listed = call(sys.executable, "-m", "uv", "pip", "list", "--python", python)
    lines = [line.lower().split()[:2] for line in listed.splitlines()]
    versions = sorted(" ".join(line) for line in lines if line[0] in NAMED)
    machine = f"{platform.machine()} with {os.cpu_count()} cores"
    made_with = ", ".join([f"Python {platform.python_version()}", *versions])
    return textwrap.fill(
        f"Measured on {time.strftime('%Y-%m-%d')}: {machine}, {made_with}.", 100
    )


def main(named: list[str]) -> int:
    """Measure the named databases and parts, or everything, and write the page."""
    if unknown := [name for name in named if name not in (*TITLES, *PARTS)]:
        known = ", ".join((*TITLES, *PARTS))
        print(f"unknown part {unknown[0]}; choose from {known}", file=sys.stderr)
        return 1
    before = re.split(r"(?m)^(?=\n## )", PAGE.read_text(encoding="utf-8"))[1:]
    sections = by_heading(before)
    for database in [name for name in TITLES if name in named] or TITLES:
        parts = [name for name in PARTS if name in named] or [*PARTS]
        sections |= by_heading(measure(database, parts))
        page = HEAD + "".join(sections.values())
        PAGE.write_text(page.rstrip("\n") + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
