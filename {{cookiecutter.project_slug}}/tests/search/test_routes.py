"""Tests of documents and search over HTTP."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from {{cookiecutter.project_slug}}.api.app import create_app
from {{cookiecutter.project_slug}}.api.settings import ApiSettings
from {{cookiecutter.project_slug}}.search.embedder import (
    HashingEmbedder,
    get_embedder,
)
from {{cookiecutter.project_slug}}.settings import Settings

TOKEN = "0123456789abcdef"


@pytest.fixture
async def client(settings: Settings) -> AsyncGenerator[AsyncClient]:
    """Client of the application, with the write token."""
    url = settings.database_url
    app = create_app(ApiSettings(_env_file=None, database_url=url, api_token=TOKEN))
    # Whatever model the application uses, tests need none.
    app.dependency_overrides[get_embedder] = lambda: HashingEmbedder()
    async with app.router.lifespan_context(app):
        transport = ASGITransport(app)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            yield client


@pytest.fixture
async def documents(client: AsyncClient) -> list[Any]:
    """Three documents created over HTTP."""
    created = []
    for text, year in (
        ("Cats sleep on windowsills.", 2025),
        ("Looms weave flowers.", 2025),
        ("A loom needs thread.", 2026),
    ):
        data = {"text": text, "details": {"year": year, "tags": ["é"]}}
        response = await client.post("/documents", json=data)
        assert response.status_code == 201
        assert response.headers["location"] == f"/documents/{response.json()['id']}"
        created.append(response.json())
    return created


async def test_documents_are_listed_read_and_deleted(
    client: AsyncClient, documents: list[Any]
) -> None:
    first = (await client.get("/documents?size=2")).json()
    second = (await client.get(first["next"])).json()
    assert first["items"] + second["items"] == documents
    assert "embedding" not in documents[0]
    path = f"/documents/{documents[0]['id']}"
    read = await client.get(path)
    assert read.json() == documents[0]
    headers = {"If-None-Match": read.headers["etag"]}
    assert (await client.get(path, headers=headers)).status_code == 304
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404


async def test_search_returns_the_nearest_first(
    client: AsyncClient, documents: list[Any]
) -> None:
    # A search writes nothing, so it needs no token.
    del client.headers["Authorization"]
    response = await client.post("/search", json={"text": "Which flowers weave looms?"})
    hits = response.json()
    assert hits[0]["document"] == documents[1]
    distances = [hit["distance"] for hit in hits]
    assert distances == sorted(distances)
    assert len(hits) == 3


async def test_search_takes_filters_and_k(
    client: AsyncClient, documents: list[Any]
) -> None:
    question = {"text": "loom", "filters": {"year": [2024, 2025]}, "k": 1}
    (hit,) = (await client.post("/search", json=question)).json()
    assert hit["document"] == documents[1]


async def test_write_without_the_token_is_refused(client: AsyncClient) -> None:
    del client.headers["Authorization"]
    for response in (
        await client.post("/documents", json={"text": "Eve was here."}),
        # The token is checked before the embedder runs.
        await client.post("/documents", json={"text": "?!"}),
        await client.delete("/documents/1"),
    ):
        assert response.status_code == 401
    assert (await client.get("/documents")).json()["items"] == []


@pytest.mark.parametrize(
    ("path", "body", "location"),
    [
        ("/documents", {"text": ""}, "body.text"),
        ("/documents", {"text": "?!"}, "body.text"),
        ("/documents", {"text": "a\0b"}, "body.text"),
        ("/documents", {"text": "a", "details": {"a\0": 1}}, "body.details"),
        ("/documents", {"text": "a", "details": {"a": {}}}, "body.details"),
        ("/search", {"text": "?!"}, "body.text"),
        ("/search", {"text": "a", "k": 0}, "body.k"),
        ("/search", {"text": "a", "filters": {"a": {"b": 1}}}, "body.filters"),
    ],
    ids=str,
)
async def test_invalid_request_is_a_problem_with_its_location(
    client: AsyncClient, path: str, body: dict[str, Any], location: str
) -> None:
    response = await client.post(path, json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"][0]["location"].startswith(location)
