"""Tests of the sentences that describe errors."""

import os

import pytest
from sqlalchemy import text

from {{cookiecutter.project_slug}}.db import Database
from {{cookiecutter.project_slug}}.db.errors import (
    DATABASE_ERRORS,
    describe_error,
)
from {{cookiecutter.project_slug}}.settings import Settings


async def failure(settings: Settings, statement: str = "SELECT 1") -> str:
    """Run a statement that fails, and return the description of its error."""
    async with Database(settings) as database:
        with pytest.raises(DATABASE_ERRORS) as caught:
            async with database.transaction() as session:
                await session.execute(text(statement))
    return describe_error(caught.value)


async def test_a_missing_table_names_the_command(
    empty_settings: Settings,
) -> None:
    described = await failure(empty_settings, "SELECT 1 FROM nowhere")
    assert described.endswith(" db upgrade head")
    assert "SELECT" not in described


async def test_a_wrong_url_names_the_setting(
    empty_settings: Settings,
) -> None:
    url = empty_settings.sqlalchemy_url.set(database=os.getcwd())
    url = url.set(drivername=url.get_backend_name())
    wrong = url.render_as_string(hide_password=False)
    described = await failure(Settings(_env_file=None, database_url=wrong))
    assert "DATABASE_URL" in described
    assert "\n" not in described


async def test_an_unknown_error_is_one_line(
    empty_settings: Settings,
) -> None:
    described = await failure(empty_settings, "SELECT\n(\n")
    assert described
    assert "\n" not in described
