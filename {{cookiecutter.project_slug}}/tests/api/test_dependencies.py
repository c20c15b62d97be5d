"""Tests of the sessions of a request and of the write token."""

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
    ReadSessionDep,
    SessionDep,
)
from {{cookiecutter.project_slug}}.api.settings import ApiSettings
from {{cookiecutter.project_slug}}.db import Database, Repository

from support.models import Item

pytestmark = pytest.mark.usefixtures("items")

Serve = Callable[[FastAPI], Awaitable[AsyncClient]]

# Handlers are private: an operation id is the name of its handler, and must be unique.
router = APIRouter(prefix="/_test")


@router.post("/items/{name}", status_code=201)
async def _create_item(session: SessionDep, name: str) -> int:
    """Create an item."""
    return (await Repository[Item](session).create(name=name)).id


@router.post("/failing/{name}")
async def _fail(session: SessionDep, name: str) -> None:
    """Create an item, then raise."""
    await Repository[Item](session).create(name=name)
    raise RuntimeError("something went wrong")


@router.post("/waiting/{name}")
async def _wait(session: SessionDep, name: str, request: Request) -> None:
    """Create an item and keep the transaction open."""
    await Repository[Item](session).create(name=name)
    request.app.state.waiting.set()
    await asyncio.sleep(30)


@router.post("/orphans", status_code=201)
async def _create_orphan(session: SessionDep) -> None:
    """Violate a constraint that is deferred to COMMIT."""
    await Repository[Item](session).create(name="orphan")
    await session.execute(
        text("INSERT INTO test_support_orphans (id, item_id) VALUES (1, 999)")
    )


@router.get("/items")
async def _list_items(session: ReadSessionDep) -> list[str]:
    """List the names of the items."""
    return [item.name for item in await Repository[Item](session).get_all()]


@router.get("/writing")
async def _write_in_read_session(session: ReadSessionDep) -> None:
    """Write in a read-only session."""
    await Repository[Item](session).create(name="refused")


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    """Application with the routes of this module."""
    app.include_router(router)
    app.state.waiting = asyncio.Event()
    return app


@pytest.fixture
async def orphans(database: Database, items: None) -> None:
    """Create a table with a foreign key that is deferred to COMMIT."""
    async with database.transaction() as session:
        await session.execute(
            text(
                "CREATE TABLE test_support_orphans (id INTEGER PRIMARY KEY, item_id"
                " INTEGER REFERENCES test_support_items (id)"
                " DEFERRABLE INITIALLY DEFERRED)"
            )
        )


async def names(database: Database) -> list[str]:
    """Read the names of the committed items."""
    async with database.read_session() as session:
        return [item.name for item in await Repository[Item](session).get_all()]


async def test_commit_happens_before_the_response(
    app: FastAPI, serve: Serve, database: Database
) -> None:
    committed: list[list[str]] = []
    build_inner = app.build_middleware_stack

    def build() -> object:
        inner = build_inner()

        async def middleware(scope: object, receive: object, send: object) -> None:
            async def send_after_reading(message: dict[str, object]) -> None:
                if message["type"] == "http.response.start":
                    committed.append(await names(database))
                await send(message)  # type: ignore[operator]

            await inner(scope, receive, send_after_reading)  # type: ignore[arg-type]

        return middleware

    app.build_middleware_stack = build  # type: ignore[method-assign, assignment]
    client = await serve(app)
    assert (await client.post("/_test/items/a")).status_code == 201
    assert committed == [["a"]]


async def test_an_exception_rolls_back(
    app: FastAPI, serve: Serve, database: Database
) -> None:
    client = await serve(app)
    response = await client.post("/_test/failing/a")
    assert response.status_code == 500
    assert "something went wrong" not in response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert await names(database) == []
    assert (await client.post("/_test/items/b")).status_code == 201
    assert await names(database) == ["b"]


@pytest.mark.usefixtures("orphans")
async def test_a_failed_commit_is_an_error_response(
    app: FastAPI, serve: Serve, database: Database
) -> None:
    client = await serve(app)
    response = await client.post("/_test/orphans")
    assert response.status_code == 409
    assert response.json()["title"] == "Conflict"
    assert await names(database) == []


async def test_a_disconnect_rolls_back(
    app: FastAPI, serve: Serve, database: Database
) -> None:
    client = await serve(app)
    for number in range(20):
        request = asyncio.create_task(client.post(f"/_test/waiting/{number}"))
        await app.state.waiting.wait()
        app.state.waiting.clear()
        request.cancel()
        with suppress(asyncio.CancelledError):
            await request
    for _ in range(500):
        await asyncio.sleep(0.01)
        if not app.state.database.pool_status()["in_use"]:
            break
    assert app.state.database.pool_status()["in_use"] == 0
    assert await names(database) == []
    assert (await client.post("/_test/items/after")).status_code == 201


async def test_a_timeout_rolls_back(
    api_settings: ApiSettings, serve: Serve, database: Database
) -> None:
    app = create_app(api_settings.model_copy(update={"api_timeout": 0.2}))
    app.include_router(router)
    app.state.waiting = asyncio.Event()
    client = await serve(app)
    response = await client.post("/_test/waiting/a")
    assert response.status_code == 503
    assert response.json()["detail"] == "The request timed out."
    assert app.state.database.pool_status()["in_use"] == 0
    assert await names(database) == []


async def test_shutdown_finishes_requests_in_flight(
    app: FastAPI, serve: Serve, database: Database
) -> None:
    release = asyncio.Event()

    @app.post("/_test/slow")
    async def respond_slowly(session: SessionDep) -> str:
        app.state.waiting.set()
        await release.wait()
        await Repository[Item](session).create(name="slow")
        return "done"

    client = await serve(app)
    request = asyncio.create_task(client.post("/_test/slow"))
    await app.state.waiting.wait()
    app.state.server.should_exit = True
    await asyncio.sleep(0.3)
    assert not request.done()
    release.set()
    assert (await request).json() == "done"
    assert await names(database) == ["slow"]


async def test_a_read_session_does_not_write(
    client: AsyncClient, database: Database
) -> None:
    assert (await client.get("/_test/writing")).status_code == 500
    assert await names(database) == []


async def test_reads_need_no_token(client: AsyncClient) -> None:
    del client.headers["Authorization"]
    assert (await client.get("/_test/items")).json() == []


@pytest.mark.parametrize(
    "header", [None, "Bearer ", "Bearer wrong", "Basic {}", "Bearer {}x", "Bearer ü"]
)
async def test_writes_need_the_token(
    client: AsyncClient, database: Database, header: str | None
) -> None:
    token = client.headers.pop("Authorization").removeprefix("Bearer ")
    headers = []
    if header:
        headers.append((b"Authorization", header.format(token).encode()))
    response = await client.post("/_test/items/a", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.headers["content-type"] == "application/problem+json"
    assert token not in response.text
    assert await names(database) == []


async def test_writes_are_disabled_without_a_token(
    client: AsyncClient,
    app: FastAPI,
    caplog: pytest.LogCaptureFixture,
) -> None:
    without_token = app.state.settings.model_copy(update={"api_token": None})
    app.state.settings = without_token
    with caplog.at_level(logging.WARNING):
        response = await client.post("/_test/items/a")
    assert response.status_code == 503
    assert "set API_TOKEN" in caplog.text


async def test_openapi_documents_the_token(client: AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert paths["/_test/items/{name}"]["post"]["security"] == [{"token": []}]
    assert "security" not in paths["/_test/items"]["get"]
