"""Tests of lists in pages."""

import json
from base64 import urlsafe_b64encode
from datetime import datetime
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from pydantic import BaseModel, ConfigDict

from {{cookiecutter.project_slug}}.api.dependencies import Reader
from {{cookiecutter.project_slug}}.api.pages import Page, Paging
from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.repository import Repository

from thing import Thing


class ThingOut(BaseModel):
    """A thing as it is served."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    created_at: datetime


@pytest.fixture
async def client(
    app: FastAPI, client: AsyncClient, database: Database, things: None
) -> AsyncClient:
    """A client of an application with a list of seven things."""

    @app.get("/things")
    async def list_things(
        session: Reader, paging: Paging, sort: str = "id", name: str | None = None
    ) -> Page[ThingOut]:
        things = Repository[Thing](session)
        return await paging.page(things, ThingOut, sort=sort, name=name)

    async with database.transaction() as session:
        for letter in "GFEDCBA":
            await Repository[Thing](session).create(name=f"{letter} & ü")
    return client


def cursor(*values: Any) -> str:
    """Write a place as the API does."""
    return urlsafe_b64encode(json.dumps(values).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("sort", ["id", "-id", "name", "-created_at"])
async def test_the_pages_lead_from_one_to_the_next(
    client: AsyncClient, sort: str
) -> None:
    path: str | None = f"/things?sort={sort}&size=3"
    sizes, names = [], set()
    while path:
        page = (await client.get(path)).json()
        sizes.append(len(page["items"]))
        names |= {thing["name"] for thing in page["items"]}
        path = page["next"]
    assert sizes == [3, 3, 1]
    assert len(names) == 7


async def test_a_page_has_no_more_rows_than_the_settings_say(
    app: FastAPI, client: AsyncClient
) -> None:
    app.state.settings = app.state.settings.model_copy(update={"api_page_size": 2})
    page = (await client.get("/things?size=1000000")).json()
    assert len(page["items"]) == 2
    assert page["next"]


async def test_the_address_of_the_next_page_keeps_the_rest_of_the_query(
    client: AsyncClient,
) -> None:
    page = (await client.get("/things?size=1&name=A %26 ü")).json()
    assert page["next"] is None
    page = (await client.get("/things?size=1&other=a%26b")).json()
    assert page["next"].startswith("/things?size=1&other=a%26b&after=")


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
async def test_a_place_that_was_not_given_out_is_refused(
    client: AsyncClient, after: str
) -> None:
    response = await client.get("/things", params={"after": after})
    assert response.status_code == 422
    assert [each["where"] for each in response.json()["errors"]] == ["query.after"]


@pytest.mark.parametrize(
    ("sort", "value"),
    [("name", "\0"), ("created_at", "0001-01-01T00:00:00+14:00"), ("name", 1)],
)
async def test_a_place_that_no_row_can_have_is_refused(
    client: AsyncClient, sort: str, value: Any
) -> None:
    query = {"sort": sort, "after": cursor(sort, value, 1)}
    assert (await client.get("/things", params=query)).status_code == 422
