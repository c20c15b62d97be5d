"""Tests of the migrations, revision by revision."""

import ast
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text

from {{cookiecutter.project_slug}}.db import Database
from {{cookiecutter.project_slug}}.db.engine import (
    create_migration_engine,
)
from {{cookiecutter.project_slug}}.migrations import (
    check,
    checksums,
    directory,
    downgrade,
    upgrade,
)
from {{cookiecutter.project_slug}}.settings import Settings

from support.sample_data import count_rows, insert_rows

SCRIPT = ScriptDirectory.from_config(directory.config())
REVISIONS: list[Script] = [*SCRIPT.walk_revisions()][::-1]

RunSync = Callable[..., Any]


@pytest.fixture
def empty(empty_settings: Settings) -> Database:
    """An empty database."""
    return Database(empty_settings)


@pytest.fixture
def run_sync(empty: Database) -> RunSync:
    """Run a function in a transaction of the empty database."""

    async def call(function: Callable[[Connection], Any]) -> Any:
        # A new one each time: the driver caches types that a migration drops.
        engine = create_migration_engine(empty.settings)
        async with engine.begin() as connection:
            result = await connection.run_sync(function)
        await engine.dispose()
        return result

    return call


def schema(connection: Connection) -> dict[str, Any]:
    """Return everything that the inspector sees, in a comparable form."""
    inspector: Any = inspect(connection)
    parts = ("columns", "indexes", "foreign_keys", "unique_constraints")
    seen: dict[str, Any] = {
        f"{part} of {table}": sorted(
            json.dumps(each, default=str) for each in items or []
        )
        for part in (*parts, "check_constraints")
        for (_, table), items in getattr(inspector, f"get_multi_{part}")().items()
        if table != "alembic_version"
    }
    if hasattr(inspector, "get_enums"):
        seen["enums"] = inspector.get_enums()
    return seen


def test_there_is_one_head() -> None:
    heads = SCRIPT.get_heads()
    merge = f'merge them: alembic merge -m "merge branches" {" ".join(heads)}'
    assert len(heads) < 2, merge


def test_no_recorded_revision_was_edited() -> None:
    accept = f"python -m {checksums.__name__} accept"
    edited = ", ".join(checksums.differences())
    assert not edited, f"edited: {edited}; if no database has applied it: {accept}"


def test_no_revision_imports_the_application() -> None:
    package = checksums.__name__.partition(".")[0]
    for revision in REVISIONS:
        for node in ast.walk(ast.parse(Path(revision.path).read_text())):
            names = [alias.name for alias in getattr(node, "names", [])]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif not isinstance(node, ast.Import):
                continue
            for name in names:
                ours = name.split(".")[0] == package
                # Code that changes with the models would break old revisions.
                assert not ours or name.startswith(f"{package}.db.migration")


async def test_the_models_match_the_migrations(database: Database) -> None:
    await check(database)


async def test_each_revision_goes_up_down_and_up(
    empty: Database, run_sync: RunSync
) -> None:
    for revision in REVISIONS:
        if revision.is_merge_point:
            await upgrade(empty, revision.revision)
            continue
        # On this branch only, where another branch starts at the same revision.
        below = f"{revision.revision}@{revision.down_revision or 'base'}"
        before = await run_sync(schema)
        counts = await run_sync(insert_rows)
        await upgrade(empty, revision.revision)
        after = await run_sync(schema)
        if not getattr(revision.module, "allow_data_loss", False):
            for table, count in (await run_sync(count_rows)).items():
                assert count >= counts.get(table, 0), f"{revision.path} lost rows"
        await downgrade(empty, below)
        assert (
            await run_sync(schema) == before
        ), f"{revision.path} does not revert everything"
        await upgrade(empty, revision.revision)
        assert await run_sync(schema) == after
    await run_sync(insert_rows)
    await downgrade(empty, "base")
    assert not any((await run_sync(schema)).values())


async def test_a_connection_in_a_transaction_is_refused(database: Database) -> None:
    async with database.engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        with pytest.raises(CommandError, match="already in a transaction"):
            await upgrade(connection)


async def test_a_passed_connection_is_migrated_and_committed(empty: Database) -> None:
    async with empty, empty.engine.connect() as connection:
        await upgrade(connection)
    await check(empty)


async def test_loggers_of_the_application_stay_enabled(empty: Database) -> None:
    logger = logging.getLogger("application")
    await upgrade(empty)
    assert not logger.disabled
