"""Tests of the cache in the API, with a table and handlers of their own."""

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from httpx import AsyncClient

from {{cookiecutter.project_slug}}.api.__main__ import main
from {{cookiecutter.project_slug}}.api.dependencies import Session
from {{cookiecutter.project_slug}}.cache.serving import Cached
from {{cookiecutter.project_slug}}.repository import Repository

from thing import Thing

pytestmark = pytest.mark.usefixtures("things")

Start = Callable[[], subprocess.Popen[bytes]]

router = APIRouter()


@router.get("/things")
async def count_things(cache: Cached, request: Request) -> int:
    """Count the things, from the cache."""

    async def load() -> int:
        async with request.app.state.database.reader() as session:
            return await Repository[Thing](session).count()

    found: Any = await cache.get_or_set("things", 60, load, tags=["things"])
    return int(found)


@router.post("/things/{name}", status_code=201)
async def create_thing(session: Session, name: str) -> None:
    """Store a thing; one that is called "bad" is not stored."""
    await Repository[Thing](session).create(name=name)
    if name == "bad":
        raise RuntimeError("something goes wrong")


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    """The application with these handlers."""
    app.include_router(router)
    return app


async def invalidations(app: FastAPI) -> int:
    """Return how often a write has made things invalid."""
    redis = app.state.cache.redis
    return int((await redis.info("commandstats")).get("cmdstat_set", {})["calls"])


async def test_who_reads_after_a_write_sees_it(
    start_redis: Start, client: AsyncClient
) -> None:
    start_redis()
    assert (await client.get("/things")).json() == 0
    assert (await client.get("/things")).json() == 0
    assert (await client.post("/things/one")).status_code == 201
    assert (await client.get("/things")).json() == 1


async def test_what_was_rolled_back_invalidates_nothing(
    app: FastAPI, start_redis: Start, client: AsyncClient
) -> None:
    start_redis()
    await client.get("/things")
    before = await invalidations(app)
    assert (await client.post("/things/bad")).status_code == 500
    await client.get("/things")
    assert await invalidations(app) == before
    assert (await client.post("/things/good")).status_code == 201
    assert await invalidations(app) > before


async def test_without_redis_it_answers_and_says_that_it_is_not_ready(
    start_redis: Start, client: AsyncClient
) -> None:
    process = start_redis()
    assert (await client.get("/health/ready")).json()["checks"]["redis"] == "ok"
    assert (await client.get("/things")).json() == 0
    process.terminate()
    process.wait()
    assert (await client.post("/things/one")).status_code == 201
    assert (await client.get("/things")).json() == 1
    ready = await client.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json()["checks"]["redis"] == "no answer"
    assert (await client.get("/health/live")).status_code == 200
    start_redis()
    assert (await client.get("/health/ready")).status_code == 200
    assert (await client.get("/things")).json() == 1


async def test_without_an_address_it_is_ready_and_caches_nothing(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "")
    async with app.router.lifespan_context(app):
        assert "redis" not in app.state.checks
        assert not app.state.cache.enabled


def test_a_wrong_address_ends_the_program_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", "http://:secret@127.0.0.1")
    with pytest.raises(SystemExit, match=r"^REDIS_URL: expected .*$") as caught:
        main()
    assert "secret" not in str(caught.value)
