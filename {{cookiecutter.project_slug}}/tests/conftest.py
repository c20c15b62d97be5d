"""Fixtures: a private, migrated database for each test."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from {{cookiecutter.project_slug}}.db import Database
from {{cookiecutter.project_slug}}.migrations import upgrade
from {{cookiecutter.project_slug}}.settings import Settings

from support.databases import server, temporary_database
from support.models import SupportBase


def pytest_configure(config: pytest.Config) -> None:
    """Start the server once for the run, not once for each of its processes."""
    if not hasattr(config, "workerinput"):
        stack = ExitStack()
        stack.enter_context(server())
        config.add_cleanup(stack.close)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the developer's settings from the environment of the tests."""
    for name in ("APP_ENV", *Settings.model_fields):
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def migrated() -> Iterator[str]:
    """URL of a migrated database, which is copied for each test."""
    with temporary_database() as url:
        asyncio.run(upgrade(Database(Settings(_env_file=None, database_url=url))))
        yield url


@pytest.fixture
def settings(migrated: str) -> Iterator[Settings]:
    """Settings of a test, with its own migrated database."""
    with temporary_database(copy_of=migrated) as url:
        yield Settings(_env_file=None, database_url=url)


@pytest.fixture
def empty_settings() -> Iterator[Settings]:
    """Settings of a test, with its own empty database."""
    with temporary_database() as url:
        yield Settings(_env_file=None, database_url=url)


@pytest.fixture
def wrong_settings(empty_settings: Settings, tmp_path: Path) -> Settings:
    """Settings whose URL names a folder, which is no database."""
    url = empty_settings.sqlalchemy_url.set(database=str(tmp_path))
    wrong = url.render_as_string(hide_password=False)
    return Settings(_env_file=None, database_url=wrong)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """Migrated database of a test."""
    async with Database(settings) as database:
        yield database


@pytest.fixture
async def items(database: Database) -> None:
    """Tables of `support/models.py`."""
    async with database.engine.begin() as connection:
        await connection.run_sync(SupportBase.metadata.create_all)


@pytest.fixture
async def session(database: Database) -> AsyncIterator[AsyncSession]:
    """A session in a transaction, which commits when the test ends."""
    async with database.transaction() as session:
        yield session
