"""Tests of sessions in requests: what is stored, and who may store it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from fastapi import APIRouter, FastAPI, Request
from httpx import AsyncClient
from sqlalchemy import text

from {{cookiecutter.project_slug}}.api.app import create_app
from {{cookiecutter.project_slug}}.api.dependencies import (
    Reader,
    Session,
)
from {{cookiecutter.project_slug}}.api.settings import ApiSettings
from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.repository import Repository

from thing import Thing

pytestmark = pytest.mark.usefixtures("things")

Serve = Callable[[FastAPI], Awaitable[AsyncClient]]

router = APIRouter()


@router.post("/things/{name}", status_code=201)
async def create_thing(session: Session, name: str) -> int:
    """Store a thing."""
    return (await Repository[Thing](session).create(name=name)).id


@router.post("/failing/{name}")
async def fail(session: Session, name: str) -> None:
    """Store a thing, and fail."""
    await Repository[Thing](session).create(name=name)
    raise RuntimeError("something goes wrong")


@router.post("/waiting/{name}")
async def wait(session: Session, name: str, request: Request) -> None:
    """Store a thing, and wait for long before it is done."""
    await Repository[Thing](session).create(name=name)
    request.app.state.begun.set()
    await asyncio.sleep(30)


@router.post("/orphans", status_code=201)
async def create_orphan(session: Session) -> None:
    """Store what breaks a constraint that the database looks at only at COMMIT."""
    await Repository[Thing](session).create(name="orphan")
    await session.execute(text("INSERT INTO orphans (id, thing_id) VALUES (1, 999)"))


@router.get("/things")
async def list_things(session: Reader) -> list[str]:
    """List the names of the things."""
    return [thing.name for thing in await Repository[Thing](session).get_all()]


@router.get("/writing")
async def write_in_a_reader(session: Reader) -> None:
    """Try to write where one only reads."""
    await Repository[Thing](session).create(name="refused")


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    """The application with the routes of this module."""
    app.include_router(router)
    app.state.begun = asyncio.Event()
    return app


@pytest.fixture
async def orphans(database: Database, things: None) -> None:
    """A table whose foreign key is looked at when a transaction is committed."""
    async with database.transaction() as session:
        await session.execute(
            text(
                "CREATE TABLE orphans (id INTEGER PRIMARY KEY, thing_id INTEGER"
                " REFERENCES things (id) DEFERRABLE INITIALLY DEFERRED)"
            )
        )


async def names(database: Database) -> list[str]:
    """Read what is stored, past the application."""
    async with database.reader() as session:
        return [thing.name for thing in await Repository[Thing](session).get_all()]


async def test_what_is_answered_is_stored_before_it_is_answered(
    app: FastAPI, serve: Serve, database: Database
) -> None:
    seen: list[list[str]] = []
    inner = app.build_middleware_stack

    def build() -> object:
        stack = inner()

        async def look(scope: object, receive: object, send: object) -> None:
            async def sending(message: dict[str, object]) -> None:
                if message["type"] == "http.response.start":
                    seen.append(await names(database))
                await send(message)  # type: ignore[operator]

            await stack(scope, receive, sending)  # type: ignore[arg-type]

        return look

    app.build_middleware_stack = build  # type: ignore[method-assign, assignment]
    client = await serve(app)
    assert (await client.post("/things/a")).status_code == 201
    assert seen == [["a"]]


async def test_a_failing_request_stores_nothing(
    app: FastAPI, serve: Serve, database: Database
) -> None:
    client = await serve(app)
    response = await client.post("/failing/a")
    assert response.status_code == 500
    assert "something goes wrong" not in response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert await names(database) == []
    assert (await client.post("/things/b")).status_code == 201
    assert await names(database) == ["b"]


@pytest.mark.usefixtures("orphans")
async def test_a_commit_that_fails_is_answered_with_an_error_and_stores_nothing(
    app: FastAPI, serve: Serve, database: Database
) -> None:
    client = await serve(app)
    response = await client.post("/orphans")
    assert response.status_code == 409
    assert response.json()["title"] == "Conflict"
    assert await names(database) == []


async def test_a_client_that_goes_away_leaves_nothing_behind(
    app: FastAPI, serve: Serve, database: Database
) -> None:
    client = await serve(app)
    for number in range(20):
        request = asyncio.create_task(client.post(f"/waiting/{number}"))
        await app.state.begun.wait()
        app.state.begun.clear()
        request.cancel()
        with suppress(asyncio.CancelledError):
            await request
    for _ in range(500):
        await asyncio.sleep(0.01)
        if not app.state.database.pool_status()["in_use"]:
            break
    assert app.state.database.pool_status()["in_use"] == 0
    assert await names(database) == []
    assert (await client.post("/things/after")).status_code == 201


async def test_what_takes_too_long_is_ended_and_stores_nothing(
    api_settings: ApiSettings, serve: Serve, database: Database
) -> None:
    app = create_app(api_settings.model_copy(update={"api_timeout": 0.2}))
    app.include_router(router)
    app.state.begun = asyncio.Event()
    client = await serve(app)
    response = await client.post("/waiting/a")
    assert response.status_code == 503
    assert response.json()["detail"] == "it took too long"
    assert app.state.database.pool_status()["in_use"] == 0
    assert await names(database) == []


async def test_requests_that_run_are_finished_before_the_server_ends(
    app: FastAPI, serve: Serve, database: Database
) -> None:
    release = asyncio.Event()

    @app.post("/slow")
    async def be_slow(session: Session) -> str:
        app.state.begun.set()
        await release.wait()
        await Repository[Thing](session).create(name="slow")
        return "done"

    client = await serve(app)
    request = asyncio.create_task(client.post("/slow"))
    await app.state.begun.wait()
    app.state.server.should_exit = True
    await asyncio.sleep(0.3)
    assert not request.done()
    release.set()
    assert (await request).json() == "done"
    assert await names(database) == ["slow"]


async def test_a_reader_does_not_write(client: AsyncClient, database: Database) -> None:
    assert (await client.get("/writing")).status_code == 500
    assert await names(database) == []


async def test_reading_is_open(client: AsyncClient) -> None:
    del client.headers["Authorization"]
    assert (await client.get("/things")).json() == []


@pytest.mark.parametrize(
    "given", [None, "Bearer ", "Bearer wrong", "Basic {}", "Bearer {}x", "Bearer ü"]
)
async def test_nobody_writes_without_the_token(
    client: AsyncClient, database: Database, given: str | None
) -> None:
    token = client.headers.pop("Authorization").removeprefix("Bearer ")
    headers = []
    if given:
        headers.append((b"Authorization", given.format(token).encode()))
    response = await client.post("/things/a", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.headers["content-type"] == "application/problem+json"
    assert token not in response.text
    assert await names(database) == []


async def test_writing_is_closed_until_a_token_is_set(
    client: AsyncClient,
    app: FastAPI,
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed = app.state.settings.model_copy(update={"api_token": None})
    app.state.settings = closed
    with caplog.at_level(logging.WARNING):
        response = await client.post("/things/a")
    assert response.status_code == 503
    assert "set API_TOKEN" in caplog.text


async def test_the_document_says_what_needs_the_token(client: AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert paths["/things/{name}"]["post"]["security"] == [{"token": []}]
    assert "security" not in paths["/things"]["get"]
