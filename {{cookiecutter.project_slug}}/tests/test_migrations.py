"""Tests of the history of the schema, revision by revision."""

import logging

import pytest
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text

from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.dialect import create_migration_engine
from {{cookiecutter.project_slug}}.migrations.runner import (
    check,
    downgrade,
    make_config,
    upgrade,
)
from {{cookiecutter.project_slug}}.settings import Settings

REVISIONS = [
    script.revision
    for script in reversed(
        list(ScriptDirectory.from_config(make_config()).walk_revisions())
    )
]


@pytest.fixture
def empty(empty_settings: Settings) -> Database:
    """An empty database."""
    return Database(empty_settings)


async def schema(database: Database) -> dict[str, object]:
    """Return what can be seen of all tables, enums included."""

    def describe(connection: Connection) -> dict[str, object]:
        inspector = inspect(connection)
        tables = inspector.get_multi_columns()
        description: dict[str, object] = {
            str(name): [repr(column) for column in columns]
            for (_, name), columns in tables.items()
            if name != "alembic_version"
        }
        if hasattr(inspector, "get_enums"):
            description["enums"] = inspector.get_enums()
        return description

    engine = create_migration_engine(database.settings)
    async with engine.connect() as connection:
        description = await connection.run_sync(describe)
    await engine.dispose()
    return description


def test_there_is_one_head() -> None:
    heads = ScriptDirectory.from_config(make_config()).get_heads()
    both = " ".join(heads)
    assert len(heads) < 2, f'merge them: alembic merge -m "merge branches" {both}'


async def test_the_models_need_no_further_migration(database: Database) -> None:
    await check(database)


async def test_every_revision_goes_up_and_down_and_up_again(empty: Database) -> None:
    schemas = [await schema(empty)]
    for revision in REVISIONS:
        await upgrade(empty, revision)
        schemas.append(await schema(empty))
    await check(empty)
    for number in reversed(range(len(REVISIONS))):
        await downgrade(empty, "-1")
        assert await schema(empty) == schemas[number]
    await upgrade(empty)
    assert await schema(empty) == schemas[-1]


async def test_a_connection_in_a_transaction_is_refused(empty: Database) -> None:
    engine = create_migration_engine(empty.settings)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        with pytest.raises(CommandError, match="already in a transaction"):
            await upgrade(connection)
    await engine.dispose()


async def test_a_passed_connection_is_migrated_and_committed(empty: Database) -> None:
    engine = create_migration_engine(empty.settings)
    async with engine.connect() as connection:
        await upgrade(connection)
    await engine.dispose()
    await check(empty)


async def test_the_loggers_of_the_application_are_left_alone(empty: Database) -> None:
    logger = logging.getLogger("application")
    await upgrade(empty)
    assert not logger.disabled
