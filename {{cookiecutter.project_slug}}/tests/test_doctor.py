"""Tests of what the doctor finds."""

import os

from alembic.script import ScriptDirectory
from sqlalchemy import text

from {{cookiecutter.project_slug}} import doctor
from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.migrations import runner
from {{cookiecutter.project_slug}}.settings import Settings


async def findings(settings: Settings) -> dict[str, tuple[str, str]]:
    """Return what is found, by what was looked at."""
    return {what: (status, said) async for status, what, said in doctor.look(settings)}


async def test_a_migrated_database_is_well(settings: Settings) -> None:
    found = await findings(settings)
    assert [*found] == ["settings", "database", "migrations"]
    assert {status for status, _ in found.values()} == {"ok"}


async def test_a_database_that_cannot_be_opened_fails(settings: Settings) -> None:
    address = settings.address.set(database=os.getcwd())
    url = address.set(drivername=address.get_backend_name())
    wrong = url.render_as_string(hide_password=False)
    found = await findings(Settings(_env_file=None, database_url=wrong))
    status, said = found["database"]
    assert status == "fail"
    assert "DATABASE_URL" in said


async def test_a_revision_that_the_code_does_not_have_fails(
    database: Database,
) -> None:
    async with database.transaction() as session:
        # It is not there yet while there is no migration.
        columns = "(version_num VARCHAR(32) NOT NULL)"
        await session.execute(
            text(f"CREATE TABLE IF NOT EXISTS alembic_version {columns}")
        )
        await session.execute(text("DELETE FROM alembic_version"))
        await session.execute(text("INSERT INTO alembic_version VALUES ('other')"))
    status, said = (await findings(database.settings))["migrations"]
    assert status == "fail"
    assert "the code has no revision other" in said


def test_revisions_that_have_not_run_are_a_warning() -> None:
    heads = ScriptDirectory.from_config(runner.make_config()).get_heads()
    status, _, said = doctor.look_at_migrations(set())
    assert status == ("warn" if heads else "ok")
    assert said.endswith(": make migrate" if heads else "at the head")
