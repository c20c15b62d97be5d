"""Tests of the routes of posts."""

from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from httpx import AsyncClient

TITLES = ["Beta", "Alpha", "Delta", "Alpha", "Gamma"]


@pytest.fixture
async def author(client: AsyncClient) -> int:
    """Author of five posts."""
    ada = {"email": "ada@example.com", "name": "Ada"}
    author: int = (await client.post("/users", json=ada)).json()["id"]
    for number, title in enumerate(TITLES):
        status = "published" if number % 2 else "draft"
        post = {"author_id": author, "title": title, "body": "…", "status": status}
        assert (await client.post("/posts", json=post)).status_code == 201
    return author


@pytest.mark.parametrize(
    "sort", ["id", "-id", "title", "-title", "created_at", "-created_at"]
)
@pytest.mark.parametrize("size", [1, 2, 5, 6])
async def test_next_links_visit_every_post_in_order(
    client: AsyncClient, author: int, sort: str, size: int
) -> None:
    path: str | None = f"/posts?sort={sort}&size={size}"
    posts = []
    while path:
        page = (await client.get(path)).json()
        assert 0 < len(page["items"]) <= size
        posts += page["items"]
        path = page["next"]
    name = sort.removeprefix("-")
    # Timestamps as text sort wrongly if some lack fractions of a second.
    parse: Any = datetime.fromisoformat if name == "created_at" else lambda v: v
    keys = [(parse(post[name]), post["id"]) for post in posts]
    assert len(keys) == len(TITLES)
    for first, second in pairwise(keys):
        assert first > second if sort.startswith("-") else first < second


async def test_next_link_keeps_the_filter(client: AsyncClient, author: int) -> None:
    query: dict[str, str | int] = {"status": "draft", "author_id": author, "size": 2}
    first = (await client.get("/posts", params=query)).json()
    second = (await client.get(first["next"])).json()
    titles = [post["title"] for post in (*first["items"], *second["items"])]
    assert titles == TITLES[::2]
    assert second["next"] is None


async def test_a_cursor_of_another_order_is_refused(
    client: AsyncClient, author: int
) -> None:
    page = (await client.get("/posts?sort=title&size=1")).json()
    wrong = page["next"].replace("sort=title", "sort=-title")
    assert (await client.get(wrong)).status_code == 422


async def test_a_post_needs_an_author(client: AsyncClient, author: int) -> None:
    post = {"author_id": author + 1, "title": "Lost", "body": ""}
    assert (await client.post("/posts", json=post)).status_code == 409


async def test_publishing_and_deletion_with_the_author(
    client: AsyncClient, author: int
) -> None:
    draft = {"author_id": author, "title": "New", "body": ""}
    created = await client.post("/posts", json=draft)
    assert created.json()["status"] == "draft"
    changed = await client.patch(
        created.headers["location"],
        json={"status": "published"},
        headers={"If-Match": created.headers["etag"]},
    )
    assert (changed.json()["status"], changed.json()["title"]) == ("published", "New")
    await client.delete(f"/users/{author}")
    assert (await client.get("/posts")).json()["items"] == []


async def test_an_unknown_status_is_refused(client: AsyncClient) -> None:
    assert (await client.get("/posts?status=lost")).status_code == 422


async def test_deleting_a_post(client: AsyncClient, author: int) -> None:
    post, *_ = (await client.get("/posts")).json()["items"]
    assert (await client.delete(f"/posts/{post['id']}")).status_code == 204
    assert (await client.get(f"/posts/{post['id']}")).status_code == 404
