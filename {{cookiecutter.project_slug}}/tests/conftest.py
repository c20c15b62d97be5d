"""A migrated, private database for each test."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.migrations.runner import upgrade
from {{cookiecutter.project_slug}}.settings import Settings

import scratch
from thing import ThingBase


def pytest_configure(config: pytest.Config) -> None:
    """Start the server once for the run, not once for each of its processes."""
    if not hasattr(config, "workerinput"):
        stack = ExitStack()
        stack.enter_context(scratch.server())
        config.add_cleanup(stack.close)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own environment out of the tests."""
    for name in ("APP_ENV", *Settings.model_fields):
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> scratch.Scratch:
    """What makes databases."""
    return scratch.Scratch(tmp_path_factory.mktemp("databases"))


@pytest.fixture(scope="session")
def migrated(databases: scratch.Scratch) -> Iterator[str]:
    """The address of a migrated database, which the tests get copies of."""
    address = databases.create()
    asyncio.run(upgrade(Database(Settings(_env_file=None, database_url=address))))
    yield address
    databases.drop(address)


@pytest.fixture
def settings(databases: scratch.Scratch, migrated: str) -> Iterator[Settings]:
    """The settings of a test, with a migrated database of its own."""
    address = databases.create(copy_of=migrated)
    yield Settings(_env_file=None, database_url=address)
    databases.drop(address)


@pytest.fixture
def empty_settings(databases: scratch.Scratch) -> Iterator[Settings]:
    """The settings of a test, with an empty database of its own."""
    address = databases.create()
    yield Settings(_env_file=None, database_url=address)
    databases.drop(address)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """The migrated database of a test."""
    async with Database(settings) as database:
        yield database


@pytest.fixture
async def things(database: Database) -> None:
    """The tables of `thing.py`."""
    async with database.engine.begin() as connection:
        await connection.run_sync(ThingBase.metadata.create_all)


@pytest.fixture
async def session(database: Database) -> AsyncIterator[AsyncSession]:
    """A session in a transaction, which commits when the test ends."""
    async with database.transaction() as session:
        yield session
