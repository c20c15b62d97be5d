"""Tests of the history of the schema, revision by revision."""

import ast
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text

from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.dialect import (
    create_migration_engine,
)
from {{cookiecutter.project_slug}}.migrations import (
    checksums,
    runner,
)
from {{cookiecutter.project_slug}}.settings import Settings

import rows

HISTORY = ScriptDirectory.from_config(runner.make_config())
REVISIONS: list[Script] = [*HISTORY.walk_revisions()][::-1]

Do = Callable[..., Any]


@pytest.fixture
def empty(empty_settings: Settings) -> Database:
    """An empty database."""
    return Database(empty_settings)


@pytest.fixture
def do(empty: Database) -> Do:
    """Calls a function with a connection to the empty database, in a transaction."""

    async def call(function: Callable[[Connection], Any]) -> Any:
        # A new one each time: the driver remembers types that a migration drops.
        engine = create_migration_engine(empty.settings)
        async with engine.begin() as connection:
            result = await connection.run_sync(function)
        await engine.dispose()
        return result

    return call


def schema(connection: Connection) -> dict[str, Any]:
    """Return all that can be seen of the tables, in a form that can be compared."""
    inspector: Any = inspect(connection)
    parts = ("columns", "indexes", "foreign_keys", "unique_constraints")
    seen: dict[str, Any] = {
        f"{part} of {table}": sorted(map(repr, items if items else []))
        for part in (*parts, "check_constraints")
        for (_, table), items in getattr(inspector, f"get_multi_{part}")().items()
        if table != "alembic_version"
    }
    if hasattr(inspector, "get_enums"):
        seen["enums"] = inspector.get_enums()
    return seen


def test_there_is_one_head() -> None:
    heads = HISTORY.get_heads()
    merge = f'merge them: alembic merge -m "merge branches" {" ".join(heads)}'
    assert len(heads) < 2, merge


def test_no_revision_was_edited_after_it_was_recorded() -> None:
    accept = f"python -m {checksums.__name__} accept"
    edited = ", ".join(checksums.differences())
    assert not edited, f"if no database has run {edited}, or you mean it: {accept}"


def test_no_revision_imports_the_application() -> None:
    package = runner.__name__.partition(".")[0]
    for revision in REVISIONS:
        for node in ast.walk(ast.parse(Path(revision.path).read_text())):
            names = [alias.name for alias in getattr(node, "names", [])]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif not isinstance(node, ast.Import):
                continue
            for name in names:
                ours = name.split(".")[0] == package
                # What changes with the models would break old revisions.
                assert not ours or name.startswith(f"{package}.migrations")


async def test_the_models_need_no_further_migration(database: Database) -> None:
    await runner.check(database)


async def test_each_revision_keeps_all_rows_and_goes_down_and_up_again(
    empty: Database, do: Do
) -> None:
    for revision in REVISIONS:
        if revision.is_merge_point:
            await runner.upgrade(empty, revision.revision)
            continue
        # On this branch only, where another one follows the same revision.
        below = f"{revision.revision}@{revision.down_revision or 'base'}"
        before = await do(schema)
        counts = await do(rows.fill)
        await runner.upgrade(empty, revision.revision)
        after = await do(schema)
        if not getattr(revision.module, "allow_data_loss", False):
            for table, count in (await do(rows.counts)).items():
                assert count >= counts.get(table, 0), f"{revision.path} lost rows"
        await runner.downgrade(empty, below)
        assert await do(schema) == before, f"{revision.path} does not go back"
        await runner.upgrade(empty, revision.revision)
        assert await do(schema) == after
    await do(rows.fill)
    await runner.downgrade(empty, "base")
    assert not any((await do(schema)).values())


async def test_a_connection_in_a_transaction_is_refused(database: Database) -> None:
    async with database.engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        with pytest.raises(CommandError, match="already in a transaction"):
            await runner.upgrade(connection)


async def test_a_passed_connection_is_migrated_and_committed(empty: Database) -> None:
    async with empty, empty.engine.connect() as connection:
        await runner.upgrade(connection)
    await runner.check(empty)


async def test_the_loggers_of_the_application_are_left_alone(empty: Database) -> None:
    logger = logging.getLogger("application")
    await runner.upgrade(empty)
    assert not logger.disabled
