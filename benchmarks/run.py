"""Renders and installs what is measured, measures it, and writes docs/benchmarks.md.

python benchmarks/run.py [database ...]
"""

import os
import platform
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[1]
CACHE = TEMPLATE / ".cache" / "bench"
PAGE = TEMPLATE / "docs" / "benchmarks.md"
NAMED = (
    *("advanced-alchemy", "aiosqlite", "alembic", "asyncpg", "fastapi"),
    *("fastapi-template", "sqlalchemy", "uvicorn"),
)
# A setting for development would have Python compile all modules for each command.
UNSET = ("DATABASE_URL", "PYTHONDONTWRITEBYTECODE")
RIVAL = "fastapi_template>=6.1,<7"
HEAD = """\
# Benchmarks

`make bench` writes this page. Each row is measured side by side in one run: ours and the other
take turns, and the ratio is the median over neighbouring rounds, with the lowest and the highest.
An aim that is not reached says **no**.

{run}
"""
FASTER = """
## {database}: the data layer

How many times faster ours is than the other. The database is
{where}.

| what | against | ratio | spread | at least | reached |
|---|---|---|---|---|---|
{rows}"""
LONGER = """
## {database}: migrations

How many times as long ours takes as the other.

| what | against | ratio | spread | at most | reached |
|---|---|---|---|---|---|
{rows}"""
API = """
## {database}: the API

How many times as many requests ours answers as the project that `fastapi_template` makes, with one
process of uvicorn each, the same database and the same rows.

| what | against | ratio | spread | at least | reached |
|---|---|---|---|---|---|
{rows}"""
SEARCH = """
## {database}: the search

| what | median | spread |
|---|---|---|
{rows}"""
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
    """Make an empty environment, and return its Python."""
    uv = (sys.executable, "-m", "uv", "venv", "--quiet", "--clear")
    call(*uv, "--python", sys.executable, folder)
    return folder / "bin" / "python"


def prepare(database: str) -> tuple[Path, Path]:
    """Render and install a project with the API and the search, and the rivals beside it."""
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
    install(python, "advanced-alchemy>=1.8,<2", "cookiecutter>=2.7,<3")
    return project, python


def prepare_rival(database: str) -> tuple[Path, Path]:
    """Let fastapi_template make a project, and give it an environment with ours in it.

    One environment serves both, so that both run with the same libraries.
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
        # It looks for uv there.
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )
    project = CACHE / database / "async_app"
    install(python, "--editable", project, "-r", folder / "rival" / "pyproject.toml")
    return folder / "rival", python


def measure(database: str) -> tuple[str, set[str]]:
    """Return the page's part about one database, and the versions."""
    project, python = prepare(database)
    rival, both = prepare_rival(database)
    scripts = TEMPLATE / "benchmarks"
    served: tuple[object, ...] = ()
    variables = {}
    if database == "postgresql":
        # It hands on the address of the server that it starts.
        served = (python, project / "scripts" / "embedded_postgres.py")
    else:
        for old in project.parent.glob("bench.db*"):
            old.unlink()
        variables["DATABASE_URL"] = f"sqlite:///{project.parent / 'bench.db'}"
    title = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[database]
    text = ""
    for part, command in (
        (FASTER, (python, scripts / "data_layer.py")),
        (LONGER, (python, scripts / "migrations.py", database)),
        (API, (both, scripts / "api.py", project, rival)),
        (SEARCH, (python, scripts / "search.py")),
    ):
        rows = call(*served, *command, **variables)
        text += part.format(database=title, where=WHERE[database], rows=rows)
        print(rows, flush=True)
    versions = set()
    for environment in (python, both):
        listed = call(
            sys.executable, "-m", "uv", "pip", "list", "--python", environment
        )
        lines = [line.lower().split()[:2] for line in listed.splitlines()]
        versions |= {" ".join(line) for line in lines if line[0] in NAMED}
    return text, versions


def main() -> None:
    """Measure, print the page and write it."""
    parts, versions = [], set()
    for database in sys.argv[1:] or ("postgresql", "sqlite"):
        part, found = measure(database)
        parts.append(part)
        versions |= found
    machine = f"{platform.machine()} with {os.cpu_count()} cores"
    made_with = [f"Python {platform.python_version()}", *sorted(versions)]
    run = f"This run: {machine}, {', '.join(made_with)}."
    page = HEAD.format(run=textwrap.fill(run, 100))
    page += "".join(parts)
    PAGE.write_text(page.rstrip("\n") + "\n", encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
