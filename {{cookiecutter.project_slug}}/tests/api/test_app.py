"""Tests of the application as a whole: what is served, and what is said about it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from httpx import ASGITransport, AsyncClient

from {{cookiecutter.project_slug}} import parts
from {{cookiecutter.project_slug}}.api.app import create_app
from {{cookiecutter.project_slug}}.api.settings import ApiSettings


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    """List what a document describes, from all paths."""
    return [each for path in document["paths"].values() for each in path.values()]


def test_making_an_application_opens_nothing(app: FastAPI) -> None:
    assert not hasattr(app.state, "database")


async def test_a_module_of_routes_is_served_without_being_registered(
    monkeypatch: pytest.MonkeyPatch, api_settings: ApiSettings
) -> None:
    module: Any = ModuleType("orders.routes")
    seen: list[FastAPI] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        assert app.state.database.pool_status()["in_use"] == 0
        seen.append(app)
        app.state.checks["orders"] = app.state.database.ping
        yield
        seen.clear()

    module.router = APIRouter(lifespan=lifespan)

    @module.router.get("/orders")  # type: ignore[untyped-decorator]
    async def list_orders() -> list[str]:
        return ["tea"]

    found = parts.load("routes")
    monkeypatch.setattr(parts, "load", lambda kind: [*found, module])
    app = create_app(api_settings)
    async with app.router.lifespan_context(app):
        assert len(seen) == 1
        transport = ASGITransport(app)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/orders")).json() == ["tea"]
            ready = (await client.get("/health/ready")).json()
    assert ready["checks"]["orders"] == "ok"
    assert not seen


async def test_the_document_names_each_operation_once(client: AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    names = [each["operationId"] for each in operations(document)]
    assert "check_readiness" in names
    assert len(names) == len(set(names))
    assert all(each["description"] for each in operations(document))


async def test_the_document_describes_problems_where_they_are_answered(
    client: AsyncClient,
) -> None:
    document = (await client.get("/openapi.json")).json()
    assert "HTTPValidationError" not in str(document)
    for each in operations(document):
        assert list(each["responses"]["default"]["content"]) == [
            "application/problem+json"
        ]


async def test_the_documents_can_be_switched_off(api_settings: ApiSettings) -> None:
    closed = api_settings.model_copy(update={"api_docs": False})
    for settings, status in ((api_settings, 200), (closed, 404)):
        transport = ASGITransport(create_app(settings))
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            for path in ("/docs", "/openapi.json"):
                assert (await client.get(path)).status_code == status


async def test_the_page_of_documents_may_load_what_it_needs(
    client: AsyncClient,
) -> None:
    response = await client.get("/docs")
    policy = response.headers["content-security-policy"]
    assert "https://cdn.jsdelivr.net" in response.text
    assert "https://cdn.jsdelivr.net" in policy
    assert "frame-ancestors 'none'" in policy
