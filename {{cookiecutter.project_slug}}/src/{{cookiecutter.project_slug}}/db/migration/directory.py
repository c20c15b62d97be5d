"""Directory of revisions: commands on it from inside a program, and its state."""

import traceback
from argparse import Namespace
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory, revision
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from ..database import Database
from ..engine import create_migration_engine
from ..errors import DATABASE_ERRORS, UPGRADE, describe_error
from ..settings import DatabaseSettings

REBASE = f"{__name__.partition('.')[0]} db rebase"


@contextmanager
def explain_broken_revision() -> Iterator[None]:
    """Fail with one sentence if a revision cannot be imported."""
    try:
        yield
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        places = [(f.filename, f.lineno) for f in frames if f.name == "<module>"]
        if isinstance(error, SyntaxError):
            places.append((error.filename or "", error.lineno))
        for file, line in reversed(places):
            if (path := Path(file)).parent.name == "versions":
                reason = traceback.format_exception_only(error)[-1].strip()
                raise CommandError(
                    f"{path.name}:{line}: {reason}. Alembic reads all revisions: fix this"
                    " one, or delete it if no database has run it"
                ) from error
        if isinstance(error, KeyError) and frames[-1].filename == revision.__file__:
            raise CommandError(
                f"no file has revision {error}, which another one follows: restore it from"
                f" the commit that git log --all -- '*{error.args[0]}*' shows"
            ) from error
        raise


@dataclass(frozen=True)
class Revisions:
    """Revisions of a database beside those of the code.

    Attributes:
        current: Revisions that the database is at; empty before the first migration.
        heads: Newest revisions of the code; more than one is a fork.
        known: All revisions of the code.
    """

    current: frozenset[str]
    heads: frozenset[str]
    known: frozenset[str]

    @classmethod
    @explain_broken_revision()
    def of(cls, script: ScriptDirectory, current: Iterable[str] = ()) -> "Revisions":
        """Compare a database's revisions with those of a script directory."""
        known = frozenset(each.revision for each in script.walk_revisions())
        return cls(frozenset(current), frozenset(script.get_heads()), known)

    @property
    def pending(self) -> bool:
        """True if an upgrade would bring the database to the only head."""
        return self.current <= self.known and len(self.heads) == 1

    def problem(self) -> str | None:
        """Return why the database is not at the only head, and the fix; or None."""
        if len(self.heads) > 1:
            return self.fork()
        if unknown := self.unknown():
            return unknown
        if self.current == self.heads:
            return None
        return (
            f"the database is at revision {_names(self.current)}, and this code at"
            f" {_names(self.heads)}; {UPGRADE}"
        )

    def fork(self) -> str:
        """Name the heads, and the commands that leave one of them."""
        return (
            f"the heads are {_names(self.heads)}; put yours after that of main: {REBASE};"
            " or merge those that are shared: alembic merge heads"
        )

    def unknown(self) -> str | None:
        """Return which revisions of the database the code does not have; or None."""
        if unknown := self.current - self.known:
            return (
                f"the database is at revision {_names(unknown)}, which this code does"
                " not have: run the version of the code that has it, or downgrade the"
                " database with that version first"
            )
        return None


def _names(revisions: Iterable[str]) -> str:
    return ", ".join(sorted(revisions)) or "none"


class MigrationDirectory:
    """Folder with `env.py` and `versions/`, whose commands run in process.

    A target is a `Database`, or a connection to it that is in no transaction.
    """

    def __init__(self, path: Path) -> None:
        """Store the path; nothing is read yet."""
        self.path = path

    async def upgrade(
        self, target: Database | AsyncConnection, revision: str = "head"
    ) -> None:
        """Upgrade a database to a revision: an id, a step such as "+1", or "head".

        Raises:
            CommandError: It cannot be done; nothing of the failed revision is left.
        """
        await self._run_command(
            target, lambda config: command.upgrade(config, revision)
        )

    async def downgrade(
        self,
        target: Database | AsyncConnection,
        revision: str,
        *,
        allow_data_loss: Sequence[str] = (),
        in_production: bool = False,
    ) -> None:
        """Downgrade a database to a revision: an id, a step such as "-1", or "base".

        Args:
            target: The database.
            revision: The revision to go back to.
            allow_data_loss: Tables and columns that may be dropped with their values,
                as "table", "table.column", or "*" for all.
            in_production: Whether to downgrade where `APP_ENV` is production.

        Raises:
            CommandError: It cannot be done, or would delete values that are not named;
                nothing of the failed revision is left.
        """
        await self._run_command(
            target,
            lambda config: command.downgrade(config, revision),
            allow_data_loss=allow_data_loss,
            in_production=in_production,
        )

    async def check(self, target: Database | AsyncConnection) -> None:
        """Compare the models with a database.

        Raises:
            CommandError: They differ, or the database is not at the head.
        """
        await self._run_command(target, command.check, check=True)

    async def revisions(self, session: AsyncSession) -> Revisions:
        """Return the revisions of a session's database and of this directory."""
        current: Iterable[str] = ()
        if await session.run_sync(
            lambda session: inspect(session.connection()).has_table("alembic_version")
        ):
            current = await session.scalars(
                text("SELECT version_num FROM alembic_version")
            )
        return Revisions.of(self._script, current)

    def config(self, options: Namespace | None = None) -> Config:
        """Return Alembic's configuration, without a file.

        Args:
            options: The parsed command line, if there is one.
        """
        config = Config(cmd_opts=options)
        # A percent sign would start an interpolation.
        location = str(self.path).replace("%", "%%")
        config.set_main_option("script_location", location)
        config.set_main_option("path_separator", "os")
        return config

    @cached_property
    def _script(self) -> ScriptDirectory:
        return ScriptDirectory.from_config(self.config())

    async def _run_command(
        self,
        target: Database | AsyncConnection,
        call: Callable[[Config], None],
        **attributes: Any,
    ) -> None:
        config = self.config()
        config.attributes.update(attributes)
        config.stdout = StringIO()  # Standard output belongs to the application.

        def call_with(connection: Connection) -> None:
            config.attributes["connection"] = connection
            call(config)

        if isinstance(target, AsyncConnection):
            await target.run_sync(call_with)
            return
        config.attributes["settings"] = target.settings
        async with connect(target.settings) as connection:
            await connection.run_sync(call_with)


@asynccontextmanager
async def connect(settings: DatabaseSettings) -> AsyncGenerator[AsyncConnection]:
    """Open a connection for migrations, and close it with its engine.

    Raises:
        CommandError: The database cannot be reached.
    """
    engine = create_migration_engine(settings)
    try:
        connection = await engine.connect()
    except DATABASE_ERRORS as error:
        url = engine.url.render_as_string(hide_password=True)
        reason = describe_error(error)
        raise CommandError(f"cannot connect to {url}: {reason}") from error
    try:
        yield connection
    finally:
        await connection.close()
        await engine.dispose()
