"""Rendered projects with a database each, for tests that migrate them."""

import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent, indent

import pytest

from support.combinations import DATABASES
from support.render import RenderedProject, run

on_each = pytest.mark.parametrize("database", DATABASES)
on_sqlite = pytest.mark.parametrize("database", ["sqlite"])
on_postgresql = pytest.mark.parametrize("database", ["postgresql"])

TIMEOUT_SECONDS = 120

# The entry point of the `alembic` command, for several commands in one process.
ALEMBIC_SCRIPT = """
import shlex, sys
from alembic.config import main
for command in sys.argv[1:]:
    main(argv=shlex.split(command), prog="alembic")
"""

MODELS = '''"""Models of a test."""

import enum
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from ..db import Model

'''

THING = """
    class Thing(Model):
        name: Mapped[str]
"""

COLOUR = """
    class Colour(enum.Enum):
        RED = "red"
        GREEN = "green"

"""

CREATE_THINGS = """
    op.create_table(
        "things", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("name", sa.Text())
    )
    op.execute("INSERT INTO things (id, name) VALUES (1, 'kept')")
"""

TWO_TABLES = """
    reach("start")
    op.create_table("left", sa.Column("id", sa.Integer()))
    reach("middle")
    op.create_table("right", sa.Column("id", sa.Integer()))
    reach("end")
"""

REVISION = '''"""{name}"""

import os
import time
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "{name}"
down_revision = {follows!r}


def reach(moment):
    """Hang or fail here if the test asks for it."""
    if os.environ.get("FAIL_AT") == moment:
        raise RuntimeError("the test asks for it")
    if os.environ.get("HANG_AT") == moment:
        Path(os.environ["REACHED"]).touch()
        time.sleep(600)


def upgrade():
{up}

def downgrade():
{down}'''


def thing_with_colour(**values: str) -> str:
    """Declare a table with a column of an enum that has the given values."""
    members = "\n        ".join(f'{name} = "{value}"' for name, value in values.items())
    return f"""
    class Colour(enum.Enum):
        {members}

    class Thing(Model):
        name: Mapped[str]
        colour: Mapped[Colour | None]
"""


RED_GREEN = thing_with_colour(RED="red", GREEN="green")


@dataclass
class MigratedProject:
    """A rendered project that a test may change, and its database."""

    rendered: RenderedProject
    database: str
    url: str
    python: Path
    env: Mapping[str, str]
    folder: Path
    psql_path: Path | None = None
    _names: list[str] = field(default_factory=list)

    @property
    def versions(self) -> Path:
        """The folder of the revisions."""
        return self.rendered.package / "migrations" / "versions"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of all commands, with the database's URL."""
        return {
            **self.env,
            "DATABASE_URL": self.url,
            # Otherwise Python imports the project that the environment was created for.
            "PYTHONPATH": str(self.rendered.path / "src"),
        }

    def alembic(
        self,
        *commands: str,
        status: int = 0,
        cwd: Path | None = None,
        **variables: str,
    ) -> str:
        """Run one `alembic` command, or several in one process, and return all output."""
        command: list[str | Path]
        if len(commands) == 1:
            command = [self.python.with_name("alembic"), *commands[0].split()]
        else:
            command = [self.python, "-c", ALEMBIC_SCRIPT, *commands]
        done = run(
            *command,
            cwd=cwd or self.rendered.path,
            env=self.variables | variables,
            status=status,
            timeout=TIMEOUT_SECONDS,
        )
        if status:
            assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def offline_sql(self, command: str) -> str:
        """Return the SQL that a command would run."""
        alembic: list[str | Path] = [self.python.with_name("alembic")]
        return run(
            *(*alembic, *command.split(), "--sql"),
            cwd=self.rendered.path,
            env=self.variables,
        ).stdout

    def upgrade_concurrently(self, count: int, **variables: str) -> list[str]:
        """Run `alembic upgrade head` in several processes; return the output of each."""
        started = [
            self.start_alembic("upgrade", "head", **variables) for _ in range(count)
        ]
        outputs = [each.communicate(timeout=TIMEOUT_SECONDS)[0] for each in started]
        assert [each.returncode for each in started] == [0] * count, "\n".join(outputs)
        return outputs

    def start_alembic(
        self, *arguments: str, **variables: str
    ) -> "subprocess.Popen[str]":
        """Start an `alembic` command without waiting for it."""
        return subprocess.Popen(
            [self.python.with_name("alembic"), *arguments],
            cwd=self.rendered.path,
            env=self.variables | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def kill_at(self, moment: str) -> None:
        """Upgrade, and kill the process once its revision reaches a moment."""
        reached = self.folder / f"reached-{moment}"
        upgrade = self.start_alembic(
            "upgrade", "head", HANG_AT=moment, REACHED=str(reached)
        )
        try:
            wait_until(reached.exists)
        finally:
            upgrade.send_signal(signal.SIGKILL)
            output, _ = upgrade.communicate()
        assert upgrade.returncode == -signal.SIGKILL, output

    def run_python(self, script: str, **variables: str) -> str:
        """Run a script that imports the project."""
        return run(
            *(self.python, "-c", dedent(script)),
            cwd=self.folder,
            env=self.variables | variables,
            timeout=TIMEOUT_SECONDS,
        ).stdout

    def write_models(self, text: str) -> None:
        """Replace the models of the project."""
        module = self.rendered.package / "models" / "thing.py"
        module.write_text(MODELS + dedent(text), encoding="utf-8")

    def autogenerate(self, *then: str, options: str = "") -> str:
        """Autogenerate a revision, run more commands, and return the revision."""
        before = set(self.versions.glob("*.py"))
        self.alembic(f"{options} revision --autogenerate -m change", *then)
        (new,) = set(self.versions.glob("*.py")) - before
        return new.read_text(encoding="utf-8")

    def round_trip(self, options: str = "") -> str:
        """Autogenerate a revision, then upgrade, downgrade to the same schema, and upgrade."""
        before = self.schema()
        text = self.autogenerate(
            "upgrade head", "check", "downgrade -1", options=options
        )
        other = sorted(set(before) ^ set(self.schema()))
        assert not other, "the downgrade leaves a difference:\n" + "\n".join(other)
        self.alembic("upgrade head", "check")
        return text

    def write_revision(self, name: str, up: str, down: str = "pass") -> Path:
        """Write a revision by hand, after the last one."""
        if name not in self._names:
            self._names.append(name)
        number = self._names.index(name)
        path = self.versions / f"{number:03}_{name}.py"
        path.write_text(
            REVISION.format(
                name=name,
                follows=self._names[number - 1] if number else None,
                up=indent(dedent(up).strip() + "\n", "    "),
                down=indent(dedent(down).strip() + "\n", "    "),
            )
        )
        return path

    def sql(self, statement: str) -> list[str]:
        """Run SQL and return its rows, with a bar between columns."""
        if self.psql_path is None:
            with closing(sqlite3.connect(self.file)) as connection, connection:
                connection.execute("PRAGMA foreign_keys = ON")
                rows = connection.execute(statement).fetchall()
            return ["|".join("" if v is None else str(v) for v in row) for row in rows]
        return self.psql("-c", statement).stdout.splitlines()

    def execute_all(self, *statements: str) -> None:
        """Run several statements."""
        for statement in statements:
            self.sql(statement)

    def psql(
        self, *arguments: str | Path, status: int | None = 0
    ) -> "subprocess.CompletedProcess[str]":
        """Run psql."""
        assert self.psql_path is not None
        return run(
            *(self.psql_path, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"),
            *(self.url, *arguments),
            cwd=self.folder,
            env=self.env,
            status=status,
            timeout=TIMEOUT_SECONDS,
        )

    @contextmanager
    def open_read_transaction(self, table: str) -> Iterator[Callable[[], None]]:
        """Read a table in an open transaction; yield the function that ends it."""
        with subprocess.Popen(
            [str(self.psql_path), "-X", "-q", "-A", "-t", self.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as session:
            assert session.stdin is not None and session.stdout is not None
            session.stdin.write(f"BEGIN; SELECT 'held' FROM {table} LIMIT 1;\n")
            session.stdin.flush()
            assert session.stdout.readline() == "held\n"
            yield session.stdin.close

    @property
    def file(self) -> Path:
        """The database file."""
        return Path(self.url.removeprefix("sqlite:///"))

    def version(self) -> list[str]:
        """Read the revisions that the database is at."""
        return self.sql("SELECT version_num FROM alembic_version")

    def tables(self) -> list[str]:
        """List all tables but Alembic's own."""
        if self.psql_path is None:
            names = (
                "name FROM sqlite_master"
                " WHERE type = 'table' AND name <> 'sqlite_sequence'"
            )
        else:
            names = "tablename AS name FROM pg_tables WHERE schemaname = 'public'"
        found = self.sql(f"SELECT {names} ORDER BY 1")
        return [name for name in found if name != "alembic_version"]

    def enums(self) -> list[str]:
        """List the enum types, each with its values."""
        if self.psql_path is None:
            return []
        return self.sql(
            "SELECT typname, string_agg(enumlabel, ' ' ORDER BY enumsortorder)"
            " FROM pg_type JOIN pg_enum ON enumtypid = pg_type.oid GROUP BY 1 ORDER BY 1"
        )

    def schema(self) -> list[str]:
        """Dump the schema in a form that dropping and recreating an object does not change."""
        if self.psql_path is None:
            found = self.sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
            lines = "\n".join(found).replace('"', "").replace("('')", "''").splitlines()
        else:
            dump = run(
                *(self.psql_path.with_name("pg_dump"), "--schema-only"),
                *("--no-comments", self.url),
                cwd=self.folder,
                env=self.env,
            )
            lines = dump.stdout.splitlines()
        lines = [line.strip(" \t,();") for line in lines]
        return sorted(
            line
            for line in lines
            if line
            and "alembic_version" not in line
            and not line.startswith(("--", "\\", "version_num", "SET default_"))
        )


Create = Callable[[str], MigratedProject]


def failure_line(output: str) -> str:
    """Return the only line of Alembic's output that reports a failure."""
    (line,) = (each for each in output.splitlines() if each.startswith("FAILED: "))
    return line


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.02)


@contextmanager
def run_embedded_server(
    project: RenderedProject, python: Path, env: Mapping[str, str]
) -> Iterator[str]:
    """Run the embedded server of a rendered project, and yield its URL."""
    command = ("sh", "-c", 'echo "$DATABASE_URL"; cat')
    with subprocess.Popen(
        [python, project.path / "scripts" / "embedded_postgres.py", *command],
        cwd=project.path,
        env={**env, "PYTHONPATH": str(project.path / "src")},
        # The server stops when this pipe closes, however the tests end.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert url, "the embedded server did not start"
        yield url


def copy_project(project: RenderedProject, folder: Path) -> RenderedProject:
    """Copy a rendered project, so that a test may change it."""
    path = folder / project.path.name
    unwanted = shutil.ignore_patterns(".venv", "__pycache__", "data")
    shutil.copytree(project.path, path, ignore=unwanted)
    return RenderedProject(path, project.answers)


def find_psql(python: Path) -> Path:
    """Find the client that the embedded server's package installs."""
    (found,) = python.parents[1].glob("lib/*/site-packages/*/pginstall18/bin/psql")
    return found
