"""Tests of the health checks."""

import os

import pytest
from sqlalchemy import text

from {{cookiecutter.project_slug}}.db import Database
from {{cookiecutter.project_slug}}.db.migration.directory import (
    Revisions,
)
from {{cookiecutter.project_slug}}.health import (
    database_checks,
    diagnose,
    run_checks,
)
from {{cookiecutter.project_slug}}.settings import Settings

IDS = frozenset({"a", "b"})


async def results(settings: Settings) -> dict[str, tuple[str, str]]:
    """Return status and message of the core's checks, by their subject."""
    names = ("settings", "database", "migrations")
    found = {each.subject: each[::2] for each in [_ async for _ in diagnose(settings)]}
    return {name: found[name] for name in names if name in found}


async def test_a_migrated_database_is_ready(
    database: Database, settings: Settings
) -> None:
    found = await results(settings)
    assert [*found] == ["settings", "database", "migrations"]
    assert {status for status, _ in found.values()} == {"ok"}
    assert await run_checks(database_checks(database)) == {}


async def test_a_wrong_url_fails(settings: Settings) -> None:
    url = settings.sqlalchemy_url.set(database=os.getcwd())
    url = url.set(drivername=url.get_backend_name())
    wrong = url.render_as_string(hide_password=False)
    found = await results(Settings(_env_file=None, database_url=wrong))
    status, message = found["database"]
    assert status == "fail"
    assert "DATABASE_URL" in message


async def test_a_revision_that_the_code_lacks_fails(
    database: Database, settings: Settings
) -> None:
    async with database.transaction() as session:
        # The table is missing while there is no migration.
        columns = "(version_num VARCHAR(32) NOT NULL)"
        await session.execute(
            text(f"CREATE TABLE IF NOT EXISTS alembic_version {columns}")
        )
        await session.execute(text("DELETE FROM alembic_version"))
        await session.execute(text("INSERT INTO alembic_version VALUES ('other')"))
    status, message = (await results(settings))["migrations"]
    assert status == "fail"
    assert "revision other, which this code does not have" in message
    assert [*await run_checks(database_checks(database))] == ["migrations"]


@pytest.mark.parametrize(
    ("current", "heads", "message", "pending"),
    [
        (["b"], ["b"], None, True),
        ([], ["b"], "at revision none, and this code at b; run the migrations", True),
        (["c"], ["b"], "at revision c, which this code does not have", False),
        (["b"], ["a", "b"], "heads are a, b; merge them: alembic merge heads", False),
    ],
)
def test_revisions_are_compared_in_one_place(
    current: list[str], heads: list[str], message: str | None, pending: bool
) -> None:
    revisions = Revisions(frozenset(current), frozenset(heads), IDS)
    assert (message or "") in (revisions.problem() or "")
    assert (revisions.problem() is None) == (message is None)
    assert revisions.pending is pending
