"""Rendered projects with a database each, for tests that migrate them for real."""

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

from baking import BakedProject, run

PATIENCE = 120
"""Seconds after which something hangs."""

# The same entry as that of the `alembic` command, for several commands in one process.
SEVERAL = """
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

from .base import Base

'''

REVISION = '''"""{name}"""

import os
import time
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "{name}"
down_revision = {follows!r}


def reach(moment):
    """Stay here, or fail here, if the test wants it."""
    if os.environ.get("FAIL_AT") == moment:
        raise RuntimeError("as the test wants it")
    if os.environ.get("STAY_AT") == moment:
        Path(os.environ["REACHED"]).touch()
        time.sleep(600)


def upgrade():
{up}

def downgrade():
{down}'''


@dataclass
class Scene:
    """A rendered project that a test may change, and its database."""

    project: BakedProject
    database: str
    address: str
    python: Path
    env: Mapping[str, str]
    folder: Path
    psql: Path | None = None
    _names: list[str] = field(default_factory=list)

    @property
    def versions(self) -> Path:
        """The folder of the revisions."""
        return self.project.package / "migrations" / "versions"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of all commands: from outside comes only the address."""
        return {
            **self.env,
            "DATABASE_URL": self.address,
            # Not the project that the environment was made for.
            "PYTHONPATH": str(self.project.path / "src"),
        }

    def alembic(
        self,
        *commands: str,
        status: int = 0,
        cwd: Path | None = None,
        **variables: str,
    ) -> str:
        """Run a plain alembic command, or several in one process, and return all output."""
        command: list[str | Path]
        if len(commands) == 1:
            command = [self.python.with_name("alembic"), *commands[0].split()]
        else:
            command = [self.python, "-c", SEVERAL, *commands]
        done = run(
            *command,
            cwd=cwd or self.project.path,
            env=self.variables | variables,
            status=status,
            timeout=PATIENCE,
        )
        if status:
            assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def written(self, command: str) -> str:
        """Return the SQL that a command would run."""
        alembic: list[str | Path] = [self.python.with_name("alembic")]
        return run(
            *(*alembic, *command.split(), "--sql"),
            cwd=self.project.path,
            env=self.variables,
        ).stdout

    def at_once(self, count: int, **variables: str) -> list[str]:
        """Run as many `alembic upgrade head` at once, and return what each has said."""
        started = [self.start("upgrade", "head", **variables) for _ in range(count)]
        said = [each.communicate(timeout=PATIENCE)[0] for each in started]
        assert [each.returncode for each in started] == [0] * count, "\n".join(said)
        return said

    def start(self, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        """Start a plain alembic command."""
        return subprocess.Popen(
            [self.python.with_name("alembic"), *arguments],
            cwd=self.project.path,
            env=self.variables | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def kill_at(self, moment: str) -> None:
        """Upgrade, and kill the process when its revision has come to a moment."""
        reached = self.folder / f"reached-{moment}"
        upgrade = self.start("upgrade", "head", STAY_AT=moment, REACHED=str(reached))
        try:
            wait_for(reached.exists)
        finally:
            upgrade.send_signal(signal.SIGKILL)
            said, _ = upgrade.communicate()
        assert upgrade.returncode == -signal.SIGKILL, said

    def run_python(self, script: str, **variables: str) -> str:
        """Run a script that imports the project."""
        return run(
            *(self.python, "-c", dedent(script)),
            cwd=self.folder,
            env=self.variables | variables,
            timeout=PATIENCE,
        ).stdout

    def model(self, text: str) -> None:
        """Let these be the models of the project."""
        module = self.project.package / "models" / "thing.py"
        module.write_text(MODELS + dedent(text), encoding="utf-8")

    def revise(self, *then: str, options: str = "") -> str:
        """Write a revision with --autogenerate, run more commands, return the revision."""
        before = set(self.versions.glob("*.py"))
        self.alembic(f"{options} revision --autogenerate -m change", *then)
        (new,) = set(self.versions.glob("*.py")) - before
        return new.read_text(encoding="utf-8")

    def climb(self, options: str = "") -> str:
        """Write a revision and go up, down and up again; it must leave no difference."""
        before = self.schema()
        text = self.revise("upgrade head", "check", "downgrade -1", options=options)
        other = sorted(set(before) ^ set(self.schema()))
        assert not other, "the downgrade leaves a difference:\n" + "\n".join(other)
        self.alembic("upgrade head", "check")
        return text

    def write(self, name: str, up: str, down: str = "pass") -> Path:
        """Write a revision by hand, as the next one."""
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
        """Run SQL and return the rows, with a bar between columns."""
        if self.psql is None:
            with closing(sqlite3.connect(self.file)) as connection, connection:
                connection.execute("PRAGMA foreign_keys = ON")
                rows = connection.execute(statement).fetchall()
            return ["|".join("" if v is None else str(v) for v in row) for row in rows]
        return self.ask("-c", statement).stdout.splitlines()

    def script(self, *statements: str) -> None:
        """Run several statements."""
        for statement in statements:
            self.sql(statement)

    def ask(
        self, *arguments: str | Path, status: int | None = 0
    ) -> "subprocess.CompletedProcess[str]":
        """Run psql."""
        assert self.psql is not None
        return run(
            *(self.psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"),
            *(self.address, *arguments),
            cwd=self.folder,
            env=self.env,
            status=status,
            timeout=PATIENCE,
        )

    @contextmanager
    def reader(self, table: str) -> Iterator[Callable[[], None]]:
        """Hold a table in a transaction that reads; yield what ends it."""
        with subprocess.Popen(
            [str(self.psql), "-X", "-q", "-A", "-t", self.address],
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
        """The file of the database."""
        return Path(self.address.removeprefix("sqlite:///"))

    def version(self) -> list[str]:
        """The revisions that the database is at."""
        return self.sql("SELECT version_num FROM alembic_version")

    def tables(self) -> list[str]:
        """All tables but Alembic's own."""
        if self.psql is None:
            names = (
                "name FROM sqlite_master"
                " WHERE type = 'table' AND name <> 'sqlite_sequence'"
            )
        else:
            names = "tablename AS name FROM pg_tables WHERE schemaname = 'public'"
        found = self.sql(f"SELECT {names} ORDER BY 1")
        return [name for name in found if name != "alembic_version"]

    def enums(self) -> list[str]:
        """The types of enums, each with its values."""
        if self.psql is None:
            return []
        return self.sql(
            "SELECT typname, string_agg(enumlabel, ' ' ORDER BY enumsortorder)"
            " FROM pg_type JOIN pg_enum ON enumtypid = pg_type.oid GROUP BY 1 ORDER BY 1"
        )

    def schema(self) -> list[str]:
        """All that defines the schema, in a form that survives dropping and making again."""
        if self.psql is None:
            found = self.sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
            lines = "\n".join(found).replace('"', "").replace("('')", "''").splitlines()
        else:
            dump = run(
                *(self.psql.with_name("pg_dump"), "--schema-only", "--no-comments"),
                self.address,
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


def wait_for(reached: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, "it has never happened"
        time.sleep(0.02)


@contextmanager
def serve(project: BakedProject, python: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Run the embedded server of a rendered project, and yield its address."""
    command = ("sh", "-c", 'echo "$DATABASE_URL"; cat')
    with subprocess.Popen(
        [python, project.path / "scripts" / "embedded_postgres.py", *command],
        cwd=project.path,
        env={**env, "PYTHONPATH": str(project.path / "src")},
        # It ends with this pipe, however we end.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert address, "the embedded server did not start"
        yield address


def copy_of(project: BakedProject, folder: Path) -> BakedProject:
    """Copy a rendered project, to be changed."""
    path = folder / project.path.name
    unwanted = shutil.ignore_patterns(".venv", "__pycache__", "data")
    shutil.copytree(project.path, path, ignore=unwanted)
    return BakedProject(path, project.answers)


def psql_of(python: Path) -> Path:
    """Find the client that comes with the embedded server."""
    (found,) = python.parents[1].glob("lib/*/site-packages/*/pginstall18/bin/psql")
    return found
