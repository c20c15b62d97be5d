"""Tests of the liveness and readiness probes."""

import asyncio
import logging
import time
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from {{cookiecutter.project_slug}} import health
from {{cookiecutter.project_slug}}.api.app import create_app
from {{cookiecutter.project_slug}}.api.settings import ApiSettings
from {{cookiecutter.project_slug}}.settings import Settings


async def test_live_responds_ok(client: AsyncClient) -> None:
    response = await client.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_ready_for_a_database_at_head(client: AsyncClient) -> None:
    response = await client.get("/health/ready")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "checks": {"database": "ok", "migrations": "ok"},
    }


async def test_not_ready_at_another_revision(
    client: AsyncClient, older_revision: None
) -> None:
    response = await client.get("/health/ready")
    assert response.status_code == 503
    content = response.json()
    assert content["status"] == "unavailable"
    assert content["checks"]["database"] == "ok"
    assert "the database is at revision older" in content["checks"]["migrations"]


async def test_app_starts_without_a_database(
    empty_settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = empty_settings.sqlalchemy_url.set(database=str(tmp_path))
    url = wrong.set(drivername=wrong.get_backend_name())
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


async def test_checks_have_a_timeout_and_hide_secrets(
    app: FastAPI, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> None:
        await asyncio.sleep(60)

    async def fail() -> None:
        raise ValueError("password")

    async def report() -> None:
        raise health.CheckFailedError("the index is being built")

    monkeypatch.setattr(health, "CHECK_TIMEOUT_SECONDS", 0.1)
    app.state.checks = {"a": hang, "b": fail, "c": report}
    started = time.monotonic()
    response = await client.get("/health/ready")
    assert time.monotonic() - started < 10
    assert response.status_code == 503
    reasons = response.json()["checks"]
    assert (reasons["a"], reasons["b"]) == ("no answer within 0.1 s", "no answer")
    assert reasons["c"] == "the index is being built"
