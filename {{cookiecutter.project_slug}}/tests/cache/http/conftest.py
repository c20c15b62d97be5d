"""An API with its cache, served over HTTP."""

import asyncio
import socket
from collections.abc import AsyncGenerator
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
    """Application, not started yet, that caches in the Redis on `own_port`."""
    for name in ApiSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{own_port}/0")
    app: FastAPI = create_app(
        ApiSettings(_env_file=None, database_url=settings.database_url, api_token=TOKEN)
    )
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncGenerator[AsyncClient]:
    """Client of the application, with the write token."""
    async with serve(app) as client:
        yield client


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncGenerator[AsyncClient]:
    """Serve an application with uvicorn while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with AsyncClient(base_url=url) as client:
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            yield client
        server.should_exit = True
        await task
