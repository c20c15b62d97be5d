"""Tests of the application factory, route discovery and the OpenAPI document."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from httpx import ASGITransport, AsyncClient

from {{cookiecutter.project_slug}}.api import app as app_module
from {{cookiecutter.project_slug}}.api.app import create_app
from {{cookiecutter.project_slug}}.api.settings import ApiSettings
from {{cookiecutter.project_slug}}.db.base import import_submodules


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    """List the operations of an OpenAPI document."""
    return [each for path in document["paths"].values() for each in path.values()]


def test_create_app_opens_nothing(app: FastAPI) -> None:
    assert not hasattr(app.state, "database")


def test_app_is_created_on_first_access() -> None:
    spec = app_module.__spec__
    assert spec and spec.loader
    fresh: Any = module_from_spec(spec)
    spec.loader.exec_module(fresh)
    assert "app" not in vars(fresh)
    # The FastAPI command line looks for the name here, then reads the attribute.
    assert "app" in dir(fresh)
    created = fresh.app
    assert isinstance(created, FastAPI)
    assert fresh.app is created
    assert not hasattr(fresh, "application")


async def test_routes_modules_are_discovered(
    monkeypatch: pytest.MonkeyPatch, api_settings: ApiSettings
) -> None:
    module: Any = ModuleType("orders.routes")
    started: list[FastAPI] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        assert app.state.database.pool_status()["in_use"] == 0
        started.append(app)
        app.state.checks["orders"] = app.state.database.ping
        yield
        started.clear()

    module.router = APIRouter(lifespan=lifespan)

    @module.router.get("/_test/orders")  # type: ignore[untyped-decorator]
    async def list_orders() -> list[str]:
        return ["tea"]

    found = import_submodules(app_module.PACKAGE, "routes")
    monkeypatch.setattr(
        app_module, "import_submodules", lambda package, name: [*found, module]
    )
    app = create_app(api_settings)
    async with app.router.lifespan_context(app):
        assert len(started) == 1
        transport = ASGITransport(app)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/_test/orders")).json() == ["tea"]
            ready = (await client.get("/health/ready")).json()
    assert ready["checks"]["orders"] == "ok"
    assert not started


async def test_openapi_operation_ids_are_unique(client: AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    names = [each["operationId"] for each in operations(document)]
    assert "check_readiness" in names
    assert len(names) == len(set(names))
    assert all(each["description"] for each in operations(document))


async def test_openapi_documents_problem_responses(client: AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert "HTTPValidationError" not in str(document)
    for each in operations(document):
        assert list(each["responses"]["default"]["content"]) == [
            "application/problem+json"
        ]


async def test_api_docs_false_hides_the_documentation(
    api_settings: ApiSettings,
) -> None:
    hidden = api_settings.model_copy(update={"api_docs": False})
    for settings, status in ((api_settings, 200), (hidden, 404)):
        transport = ASGITransport(create_app(settings))
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            for path in ("/docs", "/openapi.json"):
                assert (await client.get(path)).status_code == status


async def test_swagger_ui_may_load_its_assets(client: AsyncClient) -> None:
    response = await client.get("/docs")
    policy = response.headers["content-security-policy"]
    assert "https://cdn.jsdelivr.net" in response.text
    assert "https://cdn.jsdelivr.net" in policy
    assert "frame-ancestors 'none'" in policy
