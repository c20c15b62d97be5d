"""Tests of the cache in the API, with routes added for the test."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from httpx import AsyncClient

from {{cookiecutter.project_slug}}.api.dependencies import (
    SessionDep,
)
from {{cookiecutter.project_slug}}.cache.dependencies import (
    CacheDep,
)
from {{cookiecutter.project_slug}}.cli import main
from {{cookiecutter.project_slug}}.db import Repository

from support.models import Item

pytestmark = pytest.mark.usefixtures("items")

Start = Callable[[], subprocess.Popen[bytes]]

router = APIRouter()


@router.get("/_test/items")
async def count_items(cache: CacheDep, request: Request) -> int:
    """Return the number of items, from the cache."""

    async def load() -> int:
        async with request.app.state.database.read_session() as session:
            return await Repository[Item](session).count()

    found: Any = await cache.get_or_set("items", 60, load, tags=[Item.__tablename__])
    return int(found)


@router.post("/_test/items/{name}", status_code=201)
async def create_item(session: SessionDep, name: str) -> None:
    """Create an item, or fail if its name is "bad"."""
    await Repository[Item](session).create(name=name)
    if name == "bad":
        raise RuntimeError("bad item")


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    """Application with these routes."""
    app.include_router(router)
    return app


async def invalidations(app: FastAPI) -> int:
    """Return the number of tag versions that Redis was given."""
    redis = app.state.cache.redis
    return int((await redis.info("commandstats")).get("cmdstat_set", {})["calls"])


async def test_read_after_write_sees_the_write(
    start_redis: Start, client: AsyncClient
) -> None:
    start_redis()
    assert (await client.get("/_test/items")).json() == 0
    assert (await client.get("/_test/items")).json() == 0
    assert (await client.post("/_test/items/one")).status_code == 201
    assert (await client.get("/_test/items")).json() == 1


async def test_rolled_back_request_invalidates_nothing(
    app: FastAPI, start_redis: Start, client: AsyncClient
) -> None:
    start_redis()
    await client.get("/_test/items")
    before = await invalidations(app)
    assert (await client.post("/_test/items/bad")).status_code == 500
    await client.get("/_test/items")
    assert await invalidations(app) == before
    assert (await client.post("/_test/items/good")).status_code == 201
    assert await invalidations(app) > before


async def test_api_serves_without_redis_but_is_not_ready(
    start_redis: Start, client: AsyncClient
) -> None:
    process = start_redis()
    assert (await client.get("/health/ready")).json()["checks"]["redis"] == "ok"
    assert (await client.get("/_test/items")).json() == 0
    process.terminate()
    process.wait()
    assert (await client.post("/_test/items/one")).status_code == 201
    assert (await client.get("/_test/items")).json() == 1
    ready = await client.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json()["checks"]["redis"] == "no answer"
    assert (await client.get("/health/live")).status_code == 200
    start_redis()
    assert (await client.get("/health/ready")).status_code == 200
    assert (await client.get("/_test/items")).json() == 1


async def test_api_is_ready_without_redis_url(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "")
    async with app.router.lifespan_context(app):
        assert "redis" not in app.state.checks
        assert not app.state.cache.enabled


def test_serve_exits_with_one_line_for_an_invalid_redis_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", "http://:secret@127.0.0.1")
    monkeypatch.setattr(sys, "argv", ["serve", "serve"])
    with pytest.raises(SystemExit, match=r"^REDIS_URL: expected .*$") as caught:
        main()
    assert "secret" not in str(caught.value)
