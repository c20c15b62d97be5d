"""The API as tests use it: in process, or over real HTTP."""

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

from {{cookiecutter.project_slug}} import parts
from {{cookiecutter.project_slug}} import settings as module
from {{cookiecutter.project_slug}}.api.app import create_app
from {{cookiecutter.project_slug}}.api.settings import ApiSettings
from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.settings import Settings

TOKEN = "0123456789abcdef"

Serve = Callable[[FastAPI], Awaitable[AsyncClient]]


@pytest.fixture(autouse=True)
def no_api_settings_from_outside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Keep the developer's own environment out of the tests.

    What is served beside the API reads settings of its own, also from `.env`.
    """
    parts.load("settings")
    for each in Settings.__subclasses__():
        for name in each.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(module, "project_root", lambda: tmp_path)


@pytest.fixture
def api_settings(settings: Settings) -> ApiSettings:
    """The settings of an API on the migrated database of the test."""
    return ApiSettings(
        _env_file=None, database_url=settings.database_url, api_token=TOKEN
    )


@pytest.fixture
def app(api_settings: ApiSettings) -> FastAPI:
    """The application, not yet started."""
    return create_app(api_settings)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client of the application that may write, without a network in between."""
    async with app.router.lifespan_context(app):
        transport = ASGITransport(app)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            yield client


@pytest.fixture
async def older_revision(database: Database) -> None:
    """Leave a database that is not at the revision of this code."""
    async with database.transaction() as session:
        # It is not there yet while there is no migration.
        columns = "(version_num VARCHAR(32) NOT NULL)"
        await session.execute(
            text(f"CREATE TABLE IF NOT EXISTS alembic_version {columns}")
        )
        await session.execute(text("DELETE FROM alembic_version"))
        await session.execute(text("INSERT INTO alembic_version VALUES ('older')"))


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """A function that serves an application over HTTP and returns a client of it."""
    async with AsyncExitStack() as stack:

        async def start(app: FastAPI) -> AsyncClient:
            return await stack.enter_async_context(served(app))

        yield start


class Server(uvicorn.Server):
    """A server that tells when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        """Begin with a server that has not."""
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """Serve an application with uvicorn while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(uvicorn.Config(app, log_config=None))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with AsyncClient(base_url=address) as client:
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            await server.ready.wait()
            app.state.server = server
            yield client
        server.should_exit = True
        await serving
