"""An API with a cache in a Redis of its own, over real HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from fastapi import FastAPI
from httpx import AsyncClient

from {{cookiecutter.project_slug}}.api.app import create_app
from {{cookiecutter.project_slug}}.api.settings import ApiSettings
from {{cookiecutter.project_slug}}.settings import Settings

TOKEN = "0123456789abcdef"


@pytest.fixture
def app(settings: Settings, own_port: int, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The application, not yet started, with the address of the Redis of the test."""
    for name in ApiSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{own_port}/0")
    app: FastAPI = create_app(
        ApiSettings(_env_file=None, database_url=settings.database_url, api_token=TOKEN)
    )
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client of the application, which may write."""
    async with served(app) as client:
        yield client


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """Serve an application with uvicorn while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with AsyncClient(base_url=address) as client:
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            yield client
        server.should_exit = True
        await serving
