"""Runs migrations: for Alembic's commands, or from inside the application."""

import asyncio
import logging
import time
import traceback
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from io import StringIO
from logging.config import fileConfig
from pathlib import Path
from typing import Any

from alembic import command, context
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from .. import failures
from ..database import Database
from ..dialect import ERRORS, NAME, create_migration_engine
from ..models.base import load_models
from ..settings import Settings, SettingsError
from . import autogenerate, dialect

logger = logging.getLogger("alembic.runner")

MERGE = 'alembic merge heads -m "merge branches"'
"""What mends two heads."""


async def upgrade(target: Database | AsyncConnection, revision: str = "head") -> None:
    """Bring a database forward to a revision.

    Args:
        target: The database, or a connection to it that is in no transaction.
        revision: An id, a step such as "+1", or "head".

    Raises:
        CommandError: It cannot be done; nothing of the failed revision is left.
    """
    await _call(target, lambda config: command.upgrade(config, revision))


async def downgrade(target: Database | AsyncConnection, revision: str) -> None:
    """Bring a database back to a revision: an id, a step such as "-1", or "base".

    Raises:
        CommandError: It cannot be done; nothing of the failed revision is left.
    """
    await _call(target, lambda config: command.downgrade(config, revision))


async def check(target: Database | AsyncConnection) -> None:
    """Compare the models with a database.

    Raises:
        CommandError: They differ, or the database is not at the head.
    """
    await _call(target, command.check)


async def revisions_of(session: AsyncSession) -> set[str]:
    """Return the revisions that a database is at: none before the first migration."""
    table = await session.run_sync(
        lambda session: inspect(session.connection()).has_table("alembic_version")
    )
    if not table:
        return set()
    return {*await session.scalars(text("SELECT version_num FROM alembic_version"))}


def make_config(options: Namespace | None = None) -> Config:
    """Return Alembic's configuration without a file.

    Args:
        options: The parsed command line, if there is one.
    """
    config = Config(cmd_opts=options)
    # A percent sign would begin an interpolation.
    location = str(Path(__file__).parent).replace("%", "%%")
    config.set_main_option("script_location", location)
    config.set_main_option("path_separator", "os")
    return config


def configure_logging(config: Config) -> None:
    """Log as `alembic.ini` says; in process, logging is the application's."""
    if "connection" in config.attributes:
        return
    if config.config_file_name is not None:
        file = config.config_file_name
        fileConfig(file, disable_existing_loggers=False, encoding="utf-8")
    else:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")


def write_sql() -> None:
    """Write the SQL of the migrations instead of running it: `upgrade --sql`."""
    dialect.refuse_offline()
    metadata = load_models()
    context.configure(
        dialect_name=NAME,
        target_metadata=metadata,
        literal_binds=True,
        **dialect.OPTIONS,
    )
    with context.begin_transaction():
        context.run_migrations()


def run() -> None:
    """Run the command on the connection that was passed in, or else on a new one."""
    passed = context.config.attributes.get("connection")
    try:
        settings = context.config.attributes.get("settings") or Settings()
    except SettingsError as error:
        raise CommandError(str(error)) from None
    if passed is not None:
        _run_on(passed, settings)
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(_run_on_new_connection(settings))
    else:
        raise CommandError(f"an event loop is running: await {__name__}.upgrade()")


async def _run_on_new_connection(settings: Settings) -> None:
    async with _connect(settings) as connection:
        await connection.run_sync(_run_on, settings)


async def _call(
    target: Database | AsyncConnection, call: Callable[[Config], None]
) -> None:
    config = make_config()
    config.stdout = StringIO()  # That of the process is the application's.

    def call_with(connection: Connection) -> None:
        config.attributes["connection"] = connection
        call(config)

    if isinstance(target, AsyncConnection):
        await target.run_sync(call_with)
        return
    config.attributes["settings"] = target.settings
    async with _connect(target.settings) as connection:
        await connection.run_sync(call_with)


@asynccontextmanager
async def _connect(settings: Settings) -> AsyncIterator[AsyncConnection]:
    engine = create_migration_engine(settings)
    try:
        connection = await engine.connect()
    except ERRORS as error:
        where = engine.url.render_as_string(hide_password=True)
        reason = failures.explain(error)
        raise CommandError(f"cannot connect to {where}: {reason}") from error
    try:
        yield connection
    finally:
        await connection.close()
        await engine.dispose()


def _run_on(connection: Connection, settings: Settings) -> None:
    if connection.in_transaction():
        raise CommandError(
            "this connection is already in a transaction: Alembic would leave the"
            " COMMIT to whoever began it, and the migrations could be lost;"
            " pass a fresh connection"
        )
    if connection.dialect.name != NAME:
        found = connection.dialect.name
        raise CommandError(
            f"the migrations are for {NAME}, the connection is to {found}"
        )
    try:
        with dialect.prepare(connection, settings) if _is_writing() else nullcontext():
            try:
                _run_and_retry(connection, settings)
            finally:
                # Reading begins a transaction, too, which would be left open.
                connection.rollback()
    except CommandError as error:
        raise _with_mend(error) from error.__cause__


def _run_and_retry(connection: Connection, settings: Settings) -> None:
    metadata = load_models()
    for pause in (*dialect.PAUSES, None):
        context.configure(
            connection=connection,
            target_metadata=metadata,
            **autogenerate.options(metadata),
            **dialect.OPTIONS,
        )
        _watch_steps(connection, settings)
        try:
            with context.begin_transaction():
                context.run_migrations()
            return
        except DBAPIError as error:
            connection.rollback()
            if pause is None or not dialect.is_locked(error):
                raise CommandError(_explain(error)) from error
            logger.warning("a table is in use; trying again in %g s", pause)
            dialect.sleep(connection, pause)


def _is_writing() -> bool:
    """Tell whether the command changes the database: only those have a destination."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def _watch_steps(connection: Connection, settings: Settings) -> None:
    """Look at each step of the command before and after Alembic takes it."""
    migration: Any = context.get_context()
    # Alembic's setting for this fails on identity columns.
    compare = partial(autogenerate.default_changed, connection)
    migration.impl.compare_server_default = compare
    # Alembic has a callback only for after a step, and none that knows how many come.
    plan: Callable[..., Iterable[Any]] = migration._migrations_fn

    def steps(heads: tuple[str, ...], migration_context: Any) -> Iterator[Any]:
        _refuse_unknown(heads, migration_context.script)
        todo = list(plan(heads, migration_context))
        if todo:
            dialect.back_up(connection, settings)
        for number, step in enumerate(todo, 1):
            revision = getattr(step, "revision", None)
            started = time.monotonic()
            guard = dialect.guard(connection, revision)
            step.migration_fn = guard(step.migration_fn)
            yield step
            done = "applied" if step.is_upgrade else "took back"
            name = Path(revision.path).stem if revision else "stamp"
            seconds = time.monotonic() - started
            logger.info("%s %d/%d %s in %.1f s", done, number, len(todo), name, seconds)

    migration._migrations_fn = steps


def _refuse_unknown(heads: Iterable[str], script: ScriptDirectory) -> None:
    known = {each.revision for each in script.walk_revisions()}
    for head in heads:
        if head not in known:
            raise CommandError(
                f"the database is at revision {head}, which this code does not have:"
                " run the version of the code that has it, or take the database back"
                " with that version first"
            )


def _with_mend(error: CommandError) -> CommandError:
    """Add the command that mends it to what Alembic says, where that is known."""
    said = str(error)
    if said.startswith("Multiple head revisions are present"):
        heads = " and ".join(context.script.get_heads())
        return CommandError(f"Multiple head revisions are present, {heads}: {MERGE}")
    if said.startswith("Target database is not up to date"):
        return CommandError("Target database is not up to date: alembic upgrade head")
    return error


def _explain(error: DBAPIError) -> str:
    """Say in one line what failed, and where in which revision."""
    versions = str(Path(__file__).parent / "versions")
    frames = traceback.extract_tb(error.__traceback__)
    where = [
        f"{Path(f.filename).name}:{f.lineno}" for f in frames if versions in f.filename
    ]
    place = f"{where[-1]}: " if where else ""
    return f"{place}{' '.join(str(error.orig).split())} ({dialect.AFTER_FAILURE})"
