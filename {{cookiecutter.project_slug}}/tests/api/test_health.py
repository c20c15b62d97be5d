"""Tests of health: that the process lives, and that it can work."""

import asyncio
import logging
import time
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from {{cookiecutter.project_slug}}.api import checks
from {{cookiecutter.project_slug}}.api.app import create_app
from {{cookiecutter.project_slug}}.api.settings import ApiSettings
from {{cookiecutter.project_slug}}.settings import Settings


async def test_a_process_that_answers_is_alive(client: AsyncClient) -> None:
    response = await client.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_a_migrated_database_that_answers_is_ready(client: AsyncClient) -> None:
    response = await client.get("/health/ready")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "checks": {"database": "ok", "migrations": "ok"},
    }


async def test_a_database_at_another_revision_is_not_ready(
    client: AsyncClient, older_revision: None
) -> None:
    response = await client.get("/health/ready")
    assert response.status_code == 503
    found = response.json()
    assert found["status"] == "unavailable"
    assert found["checks"]["database"] == "ok"
    assert "the database is at revision older, and this code at" in (
        found["checks"]["migrations"]
    )


async def test_an_application_starts_without_a_database_and_says_what_is_wrong(
    empty_settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = empty_settings.address.set(database=str(tmp_path))
    url = address.set(drivername=address.get_backend_name())
    settings = ApiSettings(
        _env_file=None, database_url=url.render_as_string(hide_password=False)
    )
    app = create_app(settings)
    with caplog.at_level(logging.WARNING):
        async with app.router.lifespan_context(app):
            transport = ASGITransport(app)
            async with AsyncClient(transport=transport, base_url="http://x") as client:
                response = await client.get("/health/ready")
                assert (await client.get("/health/live")).status_code == 200
    assert "not ready: database: " in caplog.text
    assert "Traceback" not in caplog.text
    assert response.status_code == 503
    assert response.json()["checks"] == {
        "database": "no answer",
        "migrations": "no answer",
    }


async def test_each_check_has_little_time_and_keeps_its_secrets(
    app: FastAPI, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> None:
        await asyncio.sleep(60)

    async def fail() -> None:
        raise ValueError("password")

    async def explain() -> None:
        raise checks.NotReady("the index is being built")

    monkeypatch.setattr(checks, "PATIENCE", 0.1)
    app.state.checks = {"a": hang, "b": fail, "c": explain}
    started = time.monotonic()
    response = await client.get("/health/ready")
    assert time.monotonic() - started < 10
    assert response.status_code == 503
    said = response.json()["checks"]
    assert (said["a"], said["b"]) == ("no answer within 0.1 s", "no answer")
    assert said["c"] == "the index is being built"
