"""Tests of posts over HTTP."""

from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from httpx import AsyncClient

TITLES = ["Beta", "Alpha", "Delta", "Alpha", "Gamma"]


@pytest.fixture
async def author(client: AsyncClient) -> int:
    """A user who has written something."""
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
async def test_all_posts_are_found_by_following_the_pages(
    client: AsyncClient, author: int, sort: str, size: int
) -> None:
    path: str | None = f"/posts?sort={sort}&size={size}"
    found = []
    while path:
        page = (await client.get(path)).json()
        assert 0 < len(page["items"]) <= size
        found += page["items"]
        path = page["next"]
    name = sort.removeprefix("-")
    # As texts, times would compare only where all have fractions of a second.
    read: Any = datetime.fromisoformat if name == "created_at" else lambda value: value
    keys = [(read(post[name]), post["id"]) for post in found]
    assert len(keys) == len(TITLES)
    for one, next_one in pairwise(keys):
        assert one > next_one if sort.startswith("-") else one < next_one


async def test_a_filter_stays_from_page_to_page(
    client: AsyncClient, author: int
) -> None:
    query: dict[str, str | int] = {"status": "draft", "author_id": author, "size": 2}
    first = (await client.get("/posts", params=query)).json()
    second = (await client.get(first["next"])).json()
    titles = [post["title"] for post in (*first["items"], *second["items"])]
    assert titles == TITLES[::2]
    assert second["next"] is None


async def test_a_page_of_one_order_does_not_lead_into_another(
    client: AsyncClient, author: int
) -> None:
    page = (await client.get("/posts?sort=title&size=1")).json()
    wrong = page["next"].replace("sort=title", "sort=-title")
    assert (await client.get(wrong)).status_code == 422


async def test_a_post_needs_an_author(client: AsyncClient, author: int) -> None:
    post = {"author_id": author + 1, "title": "Lost", "body": ""}
    assert (await client.post("/posts", json=post)).status_code == 409


async def test_a_post_is_published_and_goes_with_its_author(
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


async def test_a_status_that_nobody_knows_is_refused(client: AsyncClient) -> None:
    assert (await client.get("/posts?status=lost")).status_code == 422


async def test_a_post_that_is_deleted_is_gone(client: AsyncClient, author: int) -> None:
    post, *_ = (await client.get("/posts")).json()["items"]
    assert (await client.delete(f"/posts/{post['id']}")).status_code == 204
    assert (await client.get(f"/posts/{post['id']}")).status_code == 404
