"""Fixtures of the API: the application, in process or over HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy import text

from {{cookiecutter.project_slug}} import (
    settings as settings_module,
)
from {{cookiecutter.project_slug}}.api.app import (
    PACKAGE,
    create_app,
)
from {{cookiecutter.project_slug}}.api.settings import ApiSettings
from {{cookiecutter.project_slug}}.db import Database
from {{cookiecutter.project_slug}}.db.base import import_submodules
from {{cookiecutter.project_slug}}.settings import Settings

TOKEN = "0123456789abcdef"

Serve = Callable[[FastAPI], Awaitable[AsyncClient]]


@pytest.fixture(autouse=True)
def isolated_api_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ignore the developer's environment and `.env`, for every feature that is served."""
    import_submodules(PACKAGE, "settings")
    for feature_settings in Settings.__subclasses__():
        for name in feature_settings.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(settings_module, "project_root", lambda: tmp_path)


@pytest.fixture
def api_settings(settings: Settings) -> ApiSettings:
    """Settings of an API on the migrated database of the test."""
    return ApiSettings(
        _env_file=None, database_url=settings.database_url, api_token=TOKEN
    )


@pytest.fixture
def app(api_settings: ApiSettings) -> FastAPI:
    """Application that has not started."""
    return create_app(api_settings)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """Client of the started application, in process and with the write token."""
    async with app.router.lifespan_context(app):
        transport = ASGITransport(app)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            yield client


@pytest.fixture
async def older_revision(database: Database) -> None:
    """Set the database to a revision that the code does not have."""
    async with database.transaction() as session:
        # A project without migrations has no such table yet.
        columns = "(version_num VARCHAR(32) NOT NULL)"
        await session.execute(
            text(f"CREATE TABLE IF NOT EXISTS alembic_version {columns}")
        )
        await session.execute(text("DELETE FROM alembic_version"))
        await session.execute(text("INSERT INTO alembic_version VALUES ('older')"))


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Function that serves an application over HTTP and returns a client."""
    async with AsyncExitStack() as stack:

        async def start(app: FastAPI) -> AsyncClient:
            return await stack.enter_async_context(served(app))

        yield start


class Server(uvicorn.Server):
    """Server with an event for a completed startup."""

    def __init__(self, config: uvicorn.Config) -> None:
        """Create the server without starting it."""
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then set the event."""
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """Serve an application with uvicorn inside the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(uvicorn.Config(app, log_config=None))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with AsyncClient(base_url=url) as client:
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            # A server that cannot start fails the test instead of blocking it.
            serving.add_done_callback(lambda _: server.ready.set())
            await server.ready.wait()
            if serving.done():
                serving.result()
            app.state.server = server
            yield client
        server.should_exit = True
        await serving
