"""Renders and installs both projects, measures them, and writes docs/benchmarks.md."""

import os
import platform
import subprocess
import sys
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[1]
CACHE = TEMPLATE / ".cache" / "bench"
HEAD = """\
# Benchmarks

Written by `make bench`: {machine}, {cores} cores, Python {python}, {versions}.
Each row is the median ratio of neighbouring rounds: how many times faster ours is.
"""
TABLE = """
## {database}

| what: against what | ratio | spread | aim | reached |
|---|---|---|---|---|
"""


def call(*command: object, **variables: str) -> str:
    """Run a command and return what it prints."""
    env = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"} | variables
    arguments = [str(part) for part in command]
    return subprocess.run(
        arguments, env=env, check=True, stdout=subprocess.PIPE, text=True, cwd=TEMPLATE
    ).stdout


def measure(database: str) -> tuple[str, str]:
    """Return the versions and the rows of one database."""
    answers = ("--no-input", "--overwrite-if-exists", "--default-config")
    folder = CACHE / database
    cookiecutter = (sys.executable, "-m", "cookiecutter", TEMPLATE, *answers)
    call(*cookiecutter, "--output-dir", folder, f"database={database}")
    project = folder / "async_app"
    python = project / ".venv" / "bin" / "python"
    uv = (sys.executable, "-m", "uv")
    call(*uv, "venv", "--clear", "--python", sys.executable, project / ".venv")
    install = (*uv, "pip", "install", "--quiet", "--python", python)
    call(*install, "--editable", project, "--group", f"{project}/pyproject.toml:dev")
    script = (python, TEMPLATE / "benchmarks" / "data_layer.py")
    if database == "postgresql":
        server = (python, project / "scripts" / "embedded_postgres.py")
        rows = call(*server, *script)
    else:
        rows = call(*script, DATABASE_URL=f"sqlite:///{folder / 'bench.db'}")
    listed = call(*uv, "pip", "list", "--python", python).lower().split("\n")
    names = ("sqlalchemy", "asyncpg", "aiosqlite")
    versions = [" ".join(line.split()) for line in listed if line.startswith(names)]
    return ", ".join(versions), rows


def main() -> None:
    """Measure both, print the page and write it."""
    measured = {database: measure(database) for database in ("postgresql", "sqlite")}
    page = HEAD.format(
        machine=platform.machine(),
        cores=os.cpu_count(),
        python=platform.python_version(),
        versions="; ".join(versions for versions, _ in measured.values()),
    )
    for database, (_, rows) in measured.items():
        page += TABLE.format(database=database) + rows
    (TEMPLATE / "docs").mkdir(exist_ok=True)
    (TEMPLATE / "docs" / "benchmarks.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
