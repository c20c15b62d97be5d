"""Runner of Alembic's commands: one connection, one lock, one line per revision."""

import asyncio
import gc
import logging
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from logging.config import fileConfig
from pathlib import Path
from typing import Any, ClassVar

from alembic import context
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Column, Connection, MetaData, Table
from sqlalchemy.exc import InvalidRequestError, SQLAlchemyError

from ..base import Base, import_models
from ..engine import DIALECT_NAME
from ..settings import DatabaseSettings
from . import autogenerate
from .directory import Revisions, connect, explain_broken_revision

logger = logging.getLogger("alembic.runner")

IN_PRODUCTION = "in-production"
"""The `-x` argument that allows a downgrade in production."""

ONE_STATEMENT = "(op.execute takes one statement: call it once for each)"
HINTS = {
    "A value is required for bind parameter": "(a colon starts a parameter: write \\:)",
    "multiple commands": ONE_STATEMENT,
    "one statement at a time": ONE_STATEMENT,
}
"""Cures by words of an error."""

GC_THRESHOLD = 100_000
"""Objects between garbage collections, which would scan all imports and revisions."""


def load_models() -> MetaData:
    """Import the models; fail with one sentence if SQLAlchemy refuses one."""
    try:
        import_models()
    except InvalidRequestError as error:
        raise CommandError(str(error)) from error
    return Base.metadata


class MigrationRunner(ABC):
    """Runs the command that Alembic was called with; `env.py` creates it.

    Each database has a subclass in `safety.py`, which fills in the rest.
    """

    options: ClassVar[dict[str, Any]] = {}
    """Options of `context.configure` for this database."""

    offline_refusal: ClassVar[str | None] = None
    """Message for `--sql`, if this database cannot do it."""

    rollback_note: ClassVar[str]
    """End of the message of a failure: the state of the database."""

    backup_hint: ClassVar[str]
    """Command that backs up this database, for the message that refuses a downgrade."""

    def __init__(
        self, metadata: MetaData, load_settings: Callable[[], DatabaseSettings]
    ) -> None:
        """Store what the command needs; nothing connects yet.

        Args:
            metadata: The tables of the models.
            load_settings: Called when no settings and no connection were passed in.
        """
        self.metadata = metadata
        self.load_settings = load_settings
        self.settings: DatabaseSettings
        self._steps: list[Any] | None = None
        self._total = 0

    @explain_broken_revision()
    def run(self) -> None:
        """Run the command, online or offline."""
        _configure_logging(context.config)
        threshold = gc.get_threshold()
        gc.set_threshold(GC_THRESHOLD)
        try:
            if context.is_offline_mode():
                self.run_offline()
            else:
                self.run_online()
        finally:
            gc.set_threshold(*threshold)

    def run_offline(self) -> None:
        """Write the SQL of the migrations instead of running it: `upgrade --sql`."""
        if self.offline_refusal is not None:
            raise CommandError(self.offline_refusal)
        context.configure(
            dialect_name=DIALECT_NAME,
            target_metadata=self.metadata,
            literal_binds=True,
            **self.options,
        )
        with context.begin_transaction():
            context.run_migrations()

    def run_online(self) -> None:
        """Run the command on the connection that was passed in, or on a new one."""
        attributes = context.config.attributes
        try:
            self.settings = attributes.get("settings") or self.load_settings()
        except ValueError as error:
            raise CommandError(str(error)) from None
        if "connection" in attributes:
            self.run_with_connection(attributes["connection"])
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(self._run_with_new_connection())
        else:
            raise CommandError(
                "an event loop is running: await upgrade(), downgrade() or check()"
                " of the package migrations"
            )

    def run_with_connection(self, connection: Connection) -> None:
        """Run the command on a connection that is in no transaction."""
        if connection.in_transaction():
            raise CommandError(
                "this connection is already in a transaction: Alembic would leave the"
                " COMMIT to the caller, and the migrations could be lost;"
                " pass a fresh connection"
            )
        if connection.dialect.name != DIALECT_NAME:
            raise CommandError(
                f"the migrations are for {DIALECT_NAME}, the connection is to"
                f" {connection.dialect.name}"
            )
        try:
            lock = self.migration_lock(connection) if _writes() else nullcontext()
            with lock:
                try:
                    self.run_migrations(connection)
                finally:
                    # Reading begins a transaction, too, which would stay open.
                    connection.rollback()
        except CommandError as error:
            raise _with_hint(error) from error.__cause__

    def run_migrations(self, connection: Connection) -> None:
        """Run the command once.

        Raises:
            CommandError: It failed; `__cause__` is the database's error.
        """
        metadata = autogenerate.without_default_schema(
            self.metadata, connection.dialect.default_schema_name
        )
        context.configure(
            connection=connection,
            target_metadata=metadata,
            runner=self,
            dont_mutate=not _writes(),
            **(autogenerate.options(metadata) | self.options),
        )
        self._instrument_steps(connection)
        try:
            with context.begin_transaction():
                context.run_migrations()
        except SQLAlchemyError as error:
            connection.rollback()
            raise CommandError(self._locate(error)) from error

    @abstractmethod
    def migration_lock(self, connection: Connection) -> AbstractContextManager[None]:
        """Return the block in which no other migration runs."""

    def take_steps(self, connection: Connection, steps: list[Any]) -> Iterator[Any]:
        """Yield each step to Alembic, which takes it; override to act around steps."""
        yield from steps

    def default_changed(
        self,
        connection: Connection,
        _inspected: Any,
        column: Column[Any],
        _wanted: str | None,
        found: str | None,
    ) -> bool:
        """Return whether a server default has changed.

        Alembic's own comparison fails on quotes and JSON, or always sees a change.
        """
        # The text that CREATE TABLE would have, quotes included.
        compiler: Any = connection.dialect.ddl_compiler
        wanted = compiler(connection.dialect, None).get_column_default_string(column)
        if found is None or wanted is None:
            return found is not wanted
        return not self.defaults_equal(connection, column, found, wanted)

    @abstractmethod
    def defaults_equal(
        self, connection: Connection, column: Column[Any], found: str, wanted: str
    ) -> bool:
        """Return whether two server defaults are the same."""

    @abstractmethod
    def expressions_equal(
        self, found: str, wanted: str, table: Table, name: str
    ) -> bool:
        """Return whether a table's CHECKs or predicates are the same.

        Args:
            found: The expression that the database has.
            wanted: The expression of the models.
            table: The table, as the models have it.
            name: The constraint or index, for messages.
        """

    @abstractmethod
    def computed_equal(self, found: str, wanted: str, column: Column[Any]) -> bool:
        """Return whether two expressions of a computed column are the same."""

    async def _run_with_new_connection(self) -> None:
        async with connect(self.settings) as connection:
            await connection.run_sync(self.run_with_connection)

    def _instrument_steps(self, connection: Connection) -> None:
        """Check and log each step of the command.

        Alembic has a callback for after a step only, and none that knows their number.
        """
        migration: Any = context.get_context()

        # Alembic's setting for this fails on identity columns.
        def default_changed(*arguments: Any) -> bool:
            return self.default_changed(connection, *arguments)

        migration.impl.compare_server_default = default_changed
        plan: Callable[..., Iterable[Any]] = migration._migrations_fn

        def steps(heads: tuple[str, ...], migration_context: Any) -> Iterator[Any]:
            if reason := Revisions.of(migration_context.script, heads).unknown():
                raise CommandError(reason)
            if self._steps is None:
                # Only once: "-2" would be two other revisions after a failed attempt.
                self._steps = list(plan(heads, migration_context))
                self._refuse_downgrade_in_production(self._steps)
                self._total = len(self._steps)
            for step in self.take_steps(connection, [*self._steps]):
                started = time.monotonic()
                migration.opts["downgrading"] = not step.is_upgrade
                yield step
                del self._steps[0]
                done = "applied" if step.is_upgrade else "reverted"
                revision = getattr(step, "revision", None)
                name = Path(revision.path).stem if revision else "stamp"
                seconds = time.monotonic() - started
                position = f"{self._total - len(self._steps)}/{self._total}"
                logger.info("%s %s %s in %.1f s", done, position, name, seconds)

        migration._migrations_fn = steps

    def _refuse_downgrade_in_production(self, steps: Iterable[Any]) -> None:
        """Refuse to revert revisions in production without the switch for it."""
        # The application's settings have it, the data layer's have not.
        if getattr(self.settings, "app_env", None) != "production" or not any(
            hasattr(step, "revision") and not step.is_upgrade for step in steps
        ):
            return
        attributes = context.config.attributes
        if attributes.get("in_production") or IN_PRODUCTION in context.get_x_argument():
            return
        raise CommandError(
            "this is production (APP_ENV), and a downgrade deletes what later revisions"
            f" added. Back up first: {self.backup_hint}. Then:"
            f" alembic -x {IN_PRODUCTION} downgrade …"
        )

    def _locate(self, error: SQLAlchemyError) -> str:
        """Return one line: the error, and the line of the revision that raised it."""
        versions = str(Path(context.script.versions))
        frames = traceback.extract_tb(error.__traceback__)
        lines = [
            f"{Path(frame.filename).name}:{frame.lineno}: "
            for frame in frames
            if versions in frame.filename
        ]
        place = lines[-1] if lines else ""
        reason = getattr(error, "orig", None) or error
        text = str(reason)
        # Not every release of SQLAlchemy keeps what the server adds.
        for part in ("detail", "hint"):
            added = getattr(reason.__cause__, part, None) or ""
            text += "" if added in text else f": {added}"
        hints = (cure for words, cure in HINTS.items() if words in str(reason))
        text = " ".join(f"{text} {next(hints, '')}".split())
        state = "; ".join(getattr(error, "__notes__", [self.rollback_note]))
        return f"{place}{text} ({state})"


def _configure_logging(config: Config) -> None:
    """Log as `alembic.ini` says; in process, logging belongs to the application."""
    if "connection" in config.attributes:
        return
    if config.config_file_name is not None:
        file = config.config_file_name
        fileConfig(file, disable_existing_loggers=False, encoding="utf-8")
    else:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
        # The runner logs one line for each revision instead.
        logging.getLogger("alembic.runtime").setLevel(logging.WARNING)


def _writes() -> bool:
    """Return whether the command changes the database: only those have a target."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def _with_hint(error: CommandError) -> CommandError:
    """Add the command that helps to Alembic's message, if it is known."""
    message = str(error)
    if message.startswith("Multiple head revisions are present"):
        fork = Revisions.of(context.script).fork()
        return CommandError(f"Multiple head revisions are present: {fork}")
    if message.startswith("Target database is not up to date"):
        return CommandError(f"{message.rstrip('.')}: alembic upgrade head")
    return error
