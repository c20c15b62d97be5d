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

from {{cookiecutter.project_slug}} import migrations
from {{cookiecutter.project_slug}}.db import Database
from {{cookiecutter.project_slug}}.db.migration import directory
from {{cookiecutter.project_slug}}.db.migration.rebase import (
    changed_revisions,
)
from {{cookiecutter.project_slug}}.settings import Settings

from support.sample_data import insert_rows, read_columns

SCRIPT = ScriptDirectory.from_config(migrations.directory.config())
REVISIONS: list[Script] = [*SCRIPT.walk_revisions()][::-1]


@pytest.fixture
def empty(empty_settings: Settings) -> Database:
    """An empty database."""
    return Database(empty_settings)


async def run_sync(database: Database, function: Callable[[Connection], Any]) -> Any:
    """Run a function in a transaction of a new engine: drivers cache dropped types."""
    async with directory.connect(database.settings) as connection, connection.begin():
        return await connection.run_sync(function)


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


def test_there_is_one_head_and_head_txt_names_it() -> None:
    revisions = directory.Revisions.of(SCRIPT)
    assert len(revisions.heads) < 2, revisions.fork()
    lines = (migrations.directory.path / "head.txt").read_text().splitlines()
    named = {line for line in lines if not line.startswith("#")}
    assert named == revisions.heads, f"write head.txt with: {directory.REBASE}"


@pytest.mark.parametrize(
    ("current", "heads", "message", "pending"),
    [
        ("b", "b", "", True),
        ("", "b", "at revision none, and this code at b; run the migrations", True),
        ("c", "b", "at revision c, which this code does not have", False),
        ("b", "ab", "heads are a, b; put yours after that of main", False),
    ],
)
def test_revisions_are_compared_in_one_place(
    current: str, heads: str, message: str, pending: bool
) -> None:
    revisions = directory.Revisions(*map(frozenset, (current, heads, "ab")))
    problem = revisions.problem() or ""
    assert message in problem
    assert bool(message) == bool(problem)
    assert revisions.pending is pending


def test_no_revision_of_main_was_changed(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        changed = ", ".join(changed_revisions(migrations.directory.path))
    except CommandError as reason:
        with capsys.disabled():
            print(f"revisions are not compared with main: {reason}")
        return
    assert not changed, f"databases may have run {changed} as main has it: restore it"


def test_no_revision_imports_the_application() -> None:
    package = migrations.__name__.partition(".")[0]
    for revision in REVISIONS:
        for node in ast.walk(ast.parse(Path(revision.path).read_text())):
            match node:
                case ast.Import(names=aliases):
                    names = [alias.name for alias in aliases]
                case ast.ImportFrom(module=str(module)):
                    names = [module]
                case _:
                    continue
            for name in names:
                # Code that changes with the models would break old revisions.
                allowed = name.startswith(f"{package}.db.migration")
                assert allowed or name.split(".")[0] != package


async def test_the_models_match_the_migrations(database: Database) -> None:
    await migrations.check(database)


async def test_each_revision_goes_up_down_and_up(empty: Database) -> None:
    for revision in REVISIONS:
        if revision.is_merge_point:
            await migrations.upgrade(empty, revision.revision)
            continue
        # On this branch only, where another branch starts at the same revision.
        below = f"{revision.revision}@{revision.down_revision or 'base'}"
        before = await run_sync(empty, schema)
        await run_sync(empty, insert_rows)
        old = await run_sync(empty, read_columns)
        await migrations.upgrade(empty, revision.revision)
        after = await run_sync(empty, schema)
        lost = getattr(revision.module, "allow_data_loss", ())
        for name, (kind, values) in (await run_sync(empty, read_columns)).items():
            old_kind, old_values = old.get(name, (kind, []))
            if not {name, name.partition(".")[0]} & {*lost}:
                assert len(values) >= len(old_values), f"{revision.path} loses rows"
                same = kind == old_kind or values == old_values
                assert same, f"{revision.path} changes the values of {name}"
        await migrations.downgrade(empty, below, allow_data_loss=["*"])
        reverted = await run_sync(empty, schema)
        assert reverted == before, f"{revision.path} does not revert everything"
        await migrations.upgrade(empty, revision.revision)
        assert await run_sync(empty, schema) == after
    await run_sync(empty, insert_rows)
    await migrations.downgrade(empty, "base", allow_data_loss=["*"])
    assert not any((await run_sync(empty, schema)).values())


async def test_a_connection_in_a_transaction_is_refused(database: Database) -> None:
    async with database.engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        with pytest.raises(CommandError, match="already in a transaction"):
            await migrations.upgrade(connection)


async def test_a_passed_connection_is_migrated_and_committed(empty: Database) -> None:
    async with empty, empty.engine.connect() as connection:
        await migrations.upgrade(connection)
    await migrations.check(empty)


async def test_loggers_of_the_application_stay_enabled(empty: Database) -> None:
    logger = logging.getLogger("application")
    await migrations.upgrade(empty)
    assert not logger.disabled
