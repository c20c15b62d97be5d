"""Tests of the routes of users."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient

ADA = {"email": "ada@example.com", "name": "Ada"}


@pytest.fixture
async def ada(client: AsyncClient) -> dict[str, Any]:
    """Existing user, with the ETag."""
    response = await client.post("/users", json=ADA)
    return {**response.json(), "etag": response.headers["etag"]}


async def test_a_created_user_is_at_its_location(
    client: AsyncClient,
) -> None:
    created = await client.post("/users", json=ADA)
    assert created.status_code == 201
    read = await client.get(created.headers["location"])
    assert read.json() == created.json()
    assert read.headers["etag"] == created.headers["etag"]
    assert read.json().items() >= ADA.items()


async def test_an_email_is_unique(client: AsyncClient, ada: dict[str, Any]) -> None:
    again = await client.post("/users", json=ADA)
    assert again.status_code == 409
    assert again.json()["constraint"] == "uq_users_email"


@pytest.mark.parametrize(
    "change",
    [
        {"email": "ada"},
        {"email": None},
        {"name": ""},
        {"name": "A\0da"},
        {"name": "x" * 201},
        {"id": 1},
    ],
)
async def test_an_invalid_user_is_refused(
    client: AsyncClient, change: dict[str, Any]
) -> None:
    response = await client.post("/users", json={**ADA, **change})
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == f"body.{next(iter(change))}"


async def test_if_none_match_returns_304_for_the_latest_version(
    client: AsyncClient, ada: dict[str, Any]
) -> None:
    path = f"/users/{ada['id']}"
    for header, status in ((ada["etag"], 304), (f"W/{ada['etag']}", 304), ('"x"', 200)):
        response = await client.get(path, headers={"If-None-Match": header})
        assert response.status_code == status
        assert response.headers["etag"] == ada["etag"]


async def test_an_update_needs_the_latest_version(
    client: AsyncClient, ada: dict[str, Any]
) -> None:
    path = f"/users/{ada['id']}"
    change = {"name": "Ada Lovelace"}
    missing = await client.patch(path, json=change)
    first = await client.patch(path, json=change, headers={"If-Match": ada["etag"]})
    second = await client.patch(path, json=change, headers={"If-Match": ada["etag"]})
    assert [missing.status_code, first.status_code, second.status_code] == [
        428,
        200,
        412,
    ]
    assert first.json()["name"] == "Ada Lovelace"
    assert first.json()["email"] == ADA["email"]
    assert (await client.get(path)).headers["etag"] == first.headers["etag"]


async def test_of_concurrent_updates_one_succeeds(
    client: AsyncClient, ada: dict[str, Any]
) -> None:
    headers = {"If-Match": ada["etag"]}
    path = f"/users/{ada['id']}"
    responses = await asyncio.gather(
        *(
            client.patch(path, json={"name": f"Ada {n}"}, headers=headers)
            for n in range(10)
        )
    )
    assert sorted(each.status_code for each in responses) == [200, *[412] * 9]


async def test_deleting_a_user(client: AsyncClient, ada: dict[str, Any]) -> None:
    path = f"/users/{ada['id']}"
    deleted = await client.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    for response in (
        await client.delete(path),
        await client.get(path),
        await client.patch(path, json={}, headers={"If-Match": "*"}),
    ):
        assert response.status_code == 404
        assert response.json()["detail"] == f"User {ada['id']} does not exist"


async def test_users_can_be_filtered(client: AsyncClient, ada: dict[str, Any]) -> None:
    await client.post("/users", json={"email": "grace@example.com", "name": "Grace"})
    found = await client.get("/users", params={"email": ADA["email"]})
    assert [user["name"] for user in found.json()["items"]] == ["Ada"]
    found = await client.get("/users", params={"name": "Eve"})
    assert found.json() == {"items": [], "next": None}


@pytest.mark.parametrize("id", ["0", "-1", "x", str(2**63)])
async def test_an_impossible_id_is_refused(client: AsyncClient, id: str) -> None:
    assert (await client.get(f"/users/{id}")).status_code == 422
