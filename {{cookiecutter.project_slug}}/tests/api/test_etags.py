"""Tests of ETags."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from pydantic import BaseModel, ConfigDict

from {{cookiecutter.project_slug}}.api.dependencies import (
    ReadSessionDep,
    SessionDep,
)
from {{cookiecutter.project_slug}}.api.etags import (
    IfMatchDep,
    IfNoneMatchDep,
    etag,
)
from {{cookiecutter.project_slug}}.db import Database, Repository

from support.models import Item


class ItemRead(BaseModel):
    """Response body of an item."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str


@pytest.fixture
async def path(
    app: FastAPI, client: AsyncClient, database: Database, items: None
) -> str:
    """Path of an item that can be read and renamed."""

    @app.get("/_test/items/{id}", response_model=ItemRead)
    async def get_item(
        session: ReadSessionDep, id: int, if_none_match: IfNoneMatchDep
    ) -> Any:
        row = await Repository[Item](session).get(id)
        return if_none_match.respond(ItemRead.model_validate(row))

    @app.put("/_test/items/{id}")
    async def rename_item(
        session: SessionDep, id: int, name: str, if_match: IfMatchDep
    ) -> None:
        await if_match.verify(session, Item, id, ItemRead)
        await asyncio.sleep(0.2)
        await Repository[Item](session).update(id, name=name)

    async with database.transaction() as session:
        item = await Repository[Item](session).create(name="a")
        return f"/_test/items/{item.id}"


def test_etag_depends_on_the_content() -> None:
    one, same = ItemRead(id=1, name="a"), ItemRead(id=1, name="a")
    assert etag(one) == etag(same)
    assert etag(one) != etag(ItemRead(id=1, name="b"))
    assert etag(one).strip('"').isalnum()


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("{}", 304),
        ("W/{}", 304),
        ('"x", {}', 304),
        ("*", 304),
        ('"x"', 200),
        ("", 200),
    ],
)
async def test_if_none_match_returns_304_for_a_known_version(
    client: AsyncClient, path: str, header: str, status: int
) -> None:
    version = (await client.get(path)).headers["etag"]
    headers = {"If-None-Match": header.format(version)}
    response = await client.get(path, headers=headers)
    assert response.status_code == status
    assert response.headers["etag"] == version
    assert response.headers["cache-control"] == "private, no-cache"
    assert bool(response.content) == (status == 200)


@pytest.mark.parametrize(
    ("header", "status"),
    [(None, 428), ('"x"', 412), ("", 412), ("{}", 200), ("*", 200), ('"x",{}', 200)],
)
async def test_if_match_refuses_an_unseen_version(
    client: AsyncClient, path: str, header: str | None, status: int
) -> None:
    version = (await client.get(path)).headers["etag"]
    headers = {} if header is None else {"If-Match": header.format(version)}
    response = await client.put(f"{path}?name=b", headers=headers)
    assert response.status_code == status
    expected = "b" if status == 200 else "a"
    assert (await client.get(path)).json()["name"] == expected


async def test_of_concurrent_updates_one_succeeds(
    client: AsyncClient, path: str
) -> None:
    headers = {"If-Match": (await client.get(path)).headers["etag"]}
    updates = [client.put(f"{path}?name=b{n}", headers=headers) for n in range(4)]
    responses = await asyncio.gather(*updates)
    assert sorted(each.status_code for each in responses) == [200, 412, 412, 412]


async def test_if_match_for_a_missing_row_is_not_found(
    client: AsyncClient, path: str
) -> None:
    response = await client.put("/_test/items/999?name=b", headers={"If-Match": "*"})
    assert response.status_code == 404
