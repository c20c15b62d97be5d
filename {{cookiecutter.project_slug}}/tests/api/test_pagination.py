"""Tests of pagination."""

import json
from base64 import urlsafe_b64encode
from datetime import datetime
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from pydantic import BaseModel, ConfigDict

from {{cookiecutter.project_slug}}.api.dependencies import (
    ReadSessionDep,
)
from {{cookiecutter.project_slug}}.api.pagination import (
    Page,
    PaginationDep,
)
from {{cookiecutter.project_slug}}.db import Database, Repository

from support.models import Item


class ItemRead(BaseModel):
    """Response body of an item."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    created_at: datetime


@pytest.fixture
async def client(
    app: FastAPI, client: AsyncClient, database: Database, items: None
) -> AsyncClient:
    """Client of an application with a list of seven items."""

    @app.get("/_test/items")
    async def list_items(
        session: ReadSessionDep,
        pagination: PaginationDep,
        sort: str = "id",
        name: str | None = None,
    ) -> Page[ItemRead]:
        items = Repository[Item](session)
        return await pagination.page(items, ItemRead, sort=sort, name=name)

    async with database.transaction() as session:
        for letter in "GFEDCBA":
            await Repository[Item](session).create(name=f"{letter} & ü")
    return client


def cursor(*values: Any) -> str:
    """Encode a cursor as the API does."""
    return urlsafe_b64encode(json.dumps(values).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("sort", ["id", "-id", "name", "-created_at"])
async def test_next_links_visit_every_row_once(client: AsyncClient, sort: str) -> None:
    path: str | None = f"/_test/items?sort={sort}&size=3"
    sizes, names = [], set()
    while path:
        page = (await client.get(path)).json()
        sizes.append(len(page["items"]))
        names |= {item["name"] for item in page["items"]}
        path = page["next"]
    assert sizes == [3, 3, 1]
    assert len(names) == 7


async def test_page_size_is_limited_by_the_settings(
    app: FastAPI, client: AsyncClient
) -> None:
    app.state.settings = app.state.settings.model_copy(update={"api_page_size": 2})
    page = (await client.get("/_test/items?size=1000000")).json()
    assert len(page["items"]) == 2
    assert page["next"]


async def test_next_url_keeps_the_other_parameters(
    client: AsyncClient,
) -> None:
    page = (await client.get("/_test/items?size=1&name=A %26 ü")).json()
    assert page["next"] is None
    page = (await client.get("/_test/items?size=1&other=a%26b")).json()
    assert page["next"].startswith("/_test/items?size=1&other=a%26b&after=")


@pytest.mark.parametrize(
    "after",
    [
        "",
        "x",
        "ü",
        "bnVsbA",
        cursor("id"),
        cursor("id", "x"),
        cursor("id", 1, 2),
        cursor("id", 10**30),
        cursor("name", "A"),
        cursor(["id"], 1),
        urlsafe_b64encode(b"[" * 9000).decode(),
    ],
)
async def test_a_forged_cursor_is_refused(client: AsyncClient, after: str) -> None:
    response = await client.get("/_test/items", params={"after": after})
    assert response.status_code == 422
    assert [each["location"] for each in response.json()["errors"]] == ["query.after"]


@pytest.mark.parametrize(
    ("sort", "value"),
    [("name", "\0"), ("created_at", "0001-01-01T00:00:00+14:00"), ("name", 1)],
)
async def test_a_cursor_with_impossible_values_is_refused(
    client: AsyncClient, sort: str, value: Any
) -> None:
    query = {"sort": sort, "after": cursor(sort, value, 1)}
    assert (await client.get("/_test/items", params=query)).status_code == 422
