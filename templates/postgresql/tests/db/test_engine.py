"""Tests of the engines and the settings of PostgreSQL."""

from functools import partial
from urllib.parse import quote

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from {{cookiecutter.project_slug}}.db import Database, errors
from {{cookiecutter.project_slug}}.settings import (
    Settings,
    SettingsError,
)

PASSWORD = "p%40ss%w@rd:/#x"

configure = partial(Settings, _env_file=None)


@pytest.mark.parametrize(
    "scheme", ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg2"]
)
def test_every_spelling_of_the_url_is_accepted(scheme: str) -> None:
    url = f"{scheme}://me@host:1/db?sslmode=require&channel_binding=require"
    expected = make_url("postgresql+asyncpg://me@host:1/db?ssl=require")
    assert configure(database_url=url).sqlalchemy_url == expected


def test_an_unknown_parameter_of_the_url_is_named() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL: asyncpg does not know"):
        configure(database_url="postgresql://host/db?pool=5")


def test_a_password_may_hold_any_characters() -> None:
    parts = configure(postgres_host="host", postgres_password=PASSWORD)
    encoded = f"postgresql://postgres:{quote(PASSWORD, safe='')}@host:5432/postgres"
    assert parts.sqlalchemy_url == configure(database_url=encoded).sqlalchemy_url
    assert parts.sqlalchemy_url.password == PASSWORD


@pytest.mark.parametrize("password", ["password", "postgres"])
def test_production_refuses_the_password_of_an_example(password: str) -> None:
    url = f"postgresql://me:{password}@host/db"
    for given in ({"database_url": url}, {"postgres_password": password}):
        assert configure(**given).sqlalchemy_url.password == password
        with pytest.raises(SettingsError, match="APP_ENV: production needs"):
            configure(app_env="production", **given)
    own = configure(app_env="production", postgres_password=PASSWORD)
    assert own.sqlalchemy_url.password == PASSWORD


def test_without_a_url_no_server_is_expected() -> None:
    assert errors.missing_database_reason(configure())
    assert not errors.missing_database_reason(configure(postgres_host="127.0.0.1"))


def test_no_secret_is_shown() -> None:
    url = "postgresql://me:secret@host/db"
    settings = configure(
        database_url=url, database_read_url=url, postgres_password="secret"
    )
    assert "secret" not in repr(settings) + str(settings)
    assert "secret" not in repr(Database(settings).engine)


async def test_a_role_with_any_password_connects(
    database: Database, settings: Settings
) -> None:
    role = settings.sqlalchemy_url.database
    async with database.transaction() as session:
        password = PASSWORD.replace(":", "\\:")
        await session.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'"))
    url = settings.sqlalchemy_url.set(username=role, password=PASSWORD)
    by_url = configure(database_url=url.render_as_string(hide_password=False))
    by_parts = configure(
        postgres_host=url.host,
        postgres_port=url.port,
        postgres_user=role,
        postgres_password=PASSWORD,
        postgres_db=url.database,
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
    async with Database(short) as database, database.read_session() as session:
        with pytest.raises(DBAPIError, match="statement timeout"):
            await session.execute(text("SELECT pg_sleep(10)"))


async def test_a_pooler_gets_timeouts_in_each_transaction(
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
