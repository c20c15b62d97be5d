"""Tests of documents and the search over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from {{cookiecutter.project_slug}}.api.app import create_app
from {{cookiecutter.project_slug}}.api.settings import ApiSettings
from {{cookiecutter.project_slug}}.settings import Settings

TOKEN = "0123456789abcdef"


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[AsyncClient]:
    """A client of the application that may write."""
    address = settings.database_url
    app = create_app(ApiSettings(_env_file=None, database_url=address, api_token=TOKEN))
    async with app.router.lifespan_context(app):
        transport = ASGITransport(app)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            yield client


@pytest.fixture
async def documents(client: AsyncClient) -> list[Any]:
    """Three documents that were added over HTTP."""
    added = []
    for text, year in (
        ("Cats sleep on windowsills.", 2025),
        ("Looms weave flowers.", 2025),
        ("A loom needs thread.", 2026),
    ):
        new = {"text": text, "details": {"year": year, "tags": ["é"]}}
        response = await client.post("/documents", json=new)
        assert response.status_code == 201
        assert response.headers["location"] == f"/documents/{response.json()['id']}"
        added.append(response.json())
    return added


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
    known = {"If-None-Match": read.headers["etag"]}
    assert (await client.get(path, headers=known)).status_code == 304
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404


async def test_the_nearest_to_a_question_come_first(
    client: AsyncClient, documents: list[Any]
) -> None:
    # Searching stores nothing, so it needs no token.
    del client.headers["Authorization"]
    response = await client.post("/search", json={"text": "Which flowers weave looms?"})
    hits = response.json()
    assert hits[0]["document"] == documents[1]
    distances = [hit["distance"] for hit in hits]
    assert distances == sorted(distances)
    assert len(hits) == 3


async def test_a_search_takes_filters_and_a_number(
    client: AsyncClient, documents: list[Any]
) -> None:
    question = {"text": "loom", "filters": {"year": [2024, 2025]}, "k": 1}
    (hit,) = (await client.post("/search", json=question)).json()
    assert hit["document"] == documents[1]


async def test_nobody_writes_without_the_token(client: AsyncClient) -> None:
    del client.headers["Authorization"]
    for response in (
        await client.post("/documents", json={"text": "Eve was here."}),
        # Nor does anybody make the embedder work.
        await client.post("/documents", json={"text": "?!"}),
        await client.delete("/documents/1"),
    ):
        assert response.status_code == 401
    assert (await client.get("/documents")).json()["items"] == []


@pytest.mark.parametrize(
    ("path", "content", "where"),
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
async def test_what_cannot_be_meant_is_a_problem_that_names_it(
    client: AsyncClient, path: str, content: dict[str, Any], where: str
) -> None:
    response = await client.post(path, json=content)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"][0]["where"].startswith(where)
