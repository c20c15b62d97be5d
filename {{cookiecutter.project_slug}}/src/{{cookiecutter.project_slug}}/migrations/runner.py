"""Runs migrations: by Alembic's commands, or from inside the application."""

import asyncio
import logging
from argparse import Namespace
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from logging.config import fileConfig
from pathlib import Path

from alembic import command, context
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from ..database import Database
from ..dialect import NAME, create_migration_engine
from ..models.base import load_models
from ..settings import Settings, SettingsError
from . import autogenerate, dialect


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
    if config.config_file_name is None:
        logging.basicConfig(
            level=logging.INFO, format="%(levelname)-5.5s [%(name)s] %(message)s"
        )
    else:
        fileConfig(
            config.config_file_name, disable_existing_loggers=False, encoding="utf-8"
        )


def write_sql() -> None:
    """Write the SQL of the migrations instead of running it: `upgrade --sql`."""
    dialect.refuse_offline()
    context.configure(
        dialect_name=NAME,
        target_metadata=load_models(),
        literal_binds=True,
        **dialect.OPTIONS,
    )
    with context.begin_transaction():
        context.run_migrations()


def run() -> None:
    """Run the command on the connection that was passed in, or else on a new one."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        _run_on(connection)
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(_run_on_new_connection())
    else:
        raise CommandError(
            f"an event loop is running: use await {__name__}.upgrade(...)"
        )


async def _run_on_new_connection() -> None:
    try:
        settings = Settings()
    except SettingsError as error:
        raise CommandError(str(error)) from None
    async with _connect(Database(settings)) as connection:
        await connection.run_sync(_run_on)


async def _call(
    target: Database | AsyncConnection, call: Callable[[Config], None]
) -> None:
    def call_with(connection: Connection) -> None:
        config = make_config()
        config.attributes["connection"] = connection
        call(config)

    if isinstance(target, AsyncConnection):
        await target.run_sync(call_with)
    else:
        async with _connect(target) as connection:
            await connection.run_sync(call_with)


@asynccontextmanager
async def _connect(database: Database) -> AsyncIterator[AsyncConnection]:
    engine = create_migration_engine(database.settings)
    try:
        connection = await engine.connect()
    except (DBAPIError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        where = engine.url.render_as_string(hide_password=True)
        raise CommandError(f"cannot connect to {where}: {cause}") from error
    try:
        yield connection
    finally:
        await connection.close()
        await engine.dispose()


def _run_on(connection: Connection) -> None:
    if connection.in_transaction():
        raise CommandError(
            "this connection is already in a transaction: Alembic would leave the"
            " COMMIT to whoever began it, and the migrations could be lost;"
            " pass a fresh connection"
        )
    with dialect.lock(connection) if _is_writing() else nullcontext():
        context.configure(
            connection=connection,
            target_metadata=load_models(),
            process_revision_directives=autogenerate.leave_out_empty,
            render_item=autogenerate.render_type,
            **dialect.OPTIONS,
        )
        with context.begin_transaction():
            context.run_migrations()


def _is_writing() -> bool:
    """Tell whether the command changes the database: only those have a destination."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True
