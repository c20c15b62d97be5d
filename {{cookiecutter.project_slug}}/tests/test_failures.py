"""Tests of what is said of failures to whoever runs a command."""

import os

import pytest
from sqlalchemy import text

from {{cookiecutter.project_slug}} import dialect, failures
from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.settings import Settings


async def failure(settings: Settings, statement: str = "SELECT 1") -> str:
    """Run a statement that fails, and return what is said of it."""
    async with Database(settings) as database:
        with pytest.raises(dialect.ERRORS) as caught:
            async with database.transaction() as session:
                await session.execute(text(statement))
    return failures.explain(caught.value)


async def test_a_table_that_is_missing_is_made_by_a_migration(
    empty_settings: Settings,
) -> None:
    said = await failure(empty_settings, "SELECT 1 FROM nowhere")
    assert said.endswith("; make migrate makes the tables")
    assert "SELECT" not in said


async def test_a_database_that_cannot_be_opened_is_to_be_named_otherwise(
    empty_settings: Settings,
) -> None:
    address = empty_settings.address.set(database=os.getcwd())
    url = address.set(drivername=address.get_backend_name())
    wrong = url.render_as_string(hide_password=False)
    said = await failure(Settings(_env_file=None, database_url=wrong))
    assert "DATABASE_URL" in said
    assert "\n" not in said


async def test_what_nobody_knows_to_mend_is_said_in_one_line(
    empty_settings: Settings,
) -> None:
    said = await failure(empty_settings, "SELECT\n(\n")
    assert said
    assert "\n" not in said
