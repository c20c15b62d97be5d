"""Tests of the routes of tags."""

from httpx import AsyncClient


async def test_a_tag_is_created_listed_read_and_deleted(client: AsyncClient) -> None:
    created = await client.post("/tags", json={"name": "python"})
    assert created.status_code == 201
    again = await client.post("/tags", json={"name": "python"})
    assert again.status_code == 409
    found = (await client.get("/tags", params={"name": "python"})).json()
    assert found == {"items": [created.json()], "next": None}
    path = created.headers["location"]
    assert (await client.get(path)).json() == created.json()
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404
