"""Command line: `doctor`, `seed`, `db`, and the commands of the features."""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from .db.base import import_submodules
from .db.errors import DATABASE_ERRORS, describe_error
from .settings import Settings, SettingsError

NAME = __name__.partition(".")[0]

STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}

Result = TypeVar("Result")

app = typer.Typer(
    name=NAME,
    help="Run and maintain the application.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def doctor() -> None:
    """Check settings, database and migrations, and name the fix for what fails."""
    from rich.console import Console
    from rich.markup import escape

    from .health import diagnose

    async def check() -> bool:
        failed = False
        console = Console(soft_wrap=True, highlight=False)
        async for status, subject, message in diagnose():
            style = STYLES[status]
            line = f"[{style}]{status:5}[/] {subject:11} {escape(message)}"
            console.print(line)
            failed |= status == "fail"
        return failed

    if run(check()):
        raise typer.Exit(1)


@app.command()
def seed() -> None:
    """Insert development data; a second run changes nothing."""
    from .db import Database

    modules = import_submodules(NAME, "seeds")
    if not modules:
        sys.exit("no seeds.py yet: write one with `async def seed(session) -> str`")

    async def insert() -> None:
        async with Database(Settings()) as database:
            async with database.transaction() as session:
                for module in modules:
                    print(await module.seed(session))

    run(insert())


@app.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
def db(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="upgrade head, check, history …")
    ] = None,
) -> None:
    """Run a command of Alembic; an installed wheel needs no alembic.ini for it."""
    from alembic.config import CommandLine, Config
    from alembic.util import CommandError

    from .db.migration.directory import explain_broken_revision
    from .db.migration.rebase import add_command
    from .migrations import directory

    line = CommandLine(prog=f"{NAME} db")
    add_command(line, directory, Settings)
    options = line.parser.parse_args(arguments or ["--help"])
    if not hasattr(options, "cmd"):
        line.parser.error("name a command, such as: upgrade head")
    file = Path(__file__).resolve().parents[2] / "alembic.ini"
    checkout = file.is_file()
    config = Config(file, cmd_opts=options) if checkout else directory.config(options)
    try:
        with explain_broken_revision():
            line.run_cmd(config, options)
    except CommandError as error:
        sys.exit(f"FAILED: {error}")


def run(program: Coroutine[Any, Any, Result]) -> Result:
    """Run a program, and end it with one sentence if it cannot reach the database."""
    try:
        return asyncio.run(program)
    except SettingsError as error:
        sys.exit(str(error))
    except DATABASE_ERRORS as error:
        sys.exit(describe_error(error))


def main() -> None:
    """Run the command that the process was called with."""
    for module in import_submodules(NAME, "commands"):
        if hasattr(module, "app"):
            app.add_typer(module.app)
    try:
        app()
    except SettingsError as error:
        sys.exit(str(error))
