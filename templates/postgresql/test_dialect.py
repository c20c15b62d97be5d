"""Tests of what the project knows about PostgreSQL."""

from urllib.parse import quote

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from {{cookiecutter.project_slug}} import failures
from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.settings import (
    Settings,
    SettingsError,
)

PASSWORD = "p%40ss%w@rd:/#x"


@pytest.mark.parametrize(
    "scheme",
    ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg2"],
)
def test_every_spelling_of_the_address_is_taken(scheme: str) -> None:
    address = f"{scheme}://me@host:1/db?sslmode=require&channel_binding=require"
    settings = Settings(_env_file=None, database_url=address)
    expected = make_url("postgresql+asyncpg://me@host:1/db?ssl=require")
    assert settings.address == expected


def test_a_parameter_that_the_driver_does_not_know_is_named() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL: asyncpg does not know"):
        Settings(_env_file=None, database_url="postgresql://host/db?pool=5")


def test_a_password_may_hold_any_characters(database: Database) -> None:
    parts = Settings(_env_file=None, postgres_host="host", postgres_password=PASSWORD)
    encoded = f"postgresql://postgres:{quote(PASSWORD, safe='')}@host:5432/postgres"
    whole = Settings(_env_file=None, database_url=encoded)
    assert parts.address == whole.address
    assert parts.address.password == PASSWORD


@pytest.mark.parametrize("password", ["password", "postgres"])
def test_production_takes_no_password_of_an_example(password: str) -> None:
    address = f"postgresql://me:{password}@host/db"
    for given in ({"database_url": address}, {"postgres_password": password}):
        assert Settings(_env_file=None, **given).address.password == password
        with pytest.raises(SettingsError, match="APP_ENV: production needs"):
            Settings(_env_file=None, app_env="production", **given)
    own = {"app_env": "production", "postgres_password": PASSWORD}
    assert Settings(_env_file=None, **own).address.password == PASSWORD


def test_a_server_that_is_not_named_is_not_looked_for() -> None:
    assert failures.not_yet(Settings(_env_file=None))
    assert not failures.not_yet(Settings(_env_file=None, postgres_host="127.0.0.1"))


def test_no_secret_is_shown() -> None:
    address = "postgresql://me:secret@host/db"
    settings = Settings(
        _env_file=None,
        database_url=address,
        database_read_url=address,
        postgres_password="secret",
    )
    assert "secret" not in repr(settings) + str(settings)
    assert "secret" not in repr(Database(settings).engine)


async def test_a_role_with_any_password_connects(
    database: Database, settings: Settings
) -> None:
    role = settings.address.database
    async with database.transaction() as session:
        password = PASSWORD.replace(":", "\\:")
        await session.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'"))
    address = settings.address.set(username=role, password=PASSWORD)
    by_url = Settings(
        _env_file=None, database_url=address.render_as_string(hide_password=False)
    )
    by_parts = Settings(
        _env_file=None,
        postgres_host=address.host,
        postgres_port=address.port,
        postgres_user=role,
        postgres_password=PASSWORD,
        postgres_db=address.database,
    )
    try:
        for given in (by_url, by_parts):
            async with Database(given) as other:
                await other.ping()
    finally:
        async with database.transaction() as session:
            await session.execute(text(f"DROP ROLE {role}"))


async def test_a_runaway_statement_is_cancelled(settings: Settings) -> None:
    short = settings.model_copy(update={"database_statement_timeout": 0.1})
    async with Database(short) as database, database.reader() as session:
        with pytest.raises(DBAPIError, match="statement timeout"):
            await session.execute(text("SELECT pg_sleep(10)"))


async def test_behind_a_pooler_limits_are_set_in_each_transaction(
    settings: Settings,
) -> None:
    pooled = settings.model_copy(
        update={"database_pooler": "transaction", "database_statement_timeout": 0.1}
    )
    async with Database(pooled) as database:
        await database.ping()
        async with database.engine.connect() as connection:
            assert await connection.scalar(text("SHOW statement_timeout")) == "100ms"
            await connection.rollback()
            raw = await connection.get_raw_connection()
            driver = raw.driver_connection
            assert driver is not None
            assert await driver.fetchval("SHOW statement_timeout") == "0"
