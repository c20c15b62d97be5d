"""Tests of what is served from the cache."""

import subprocess
from collections.abc import Callable

from fastapi import FastAPI
from httpx import AsyncClient

from {{cookiecutter.project_slug}}.database import Database
from {{cookiecutter.project_slug}}.models import Tag, User
from {{cookiecutter.project_slug}}.repository import Repository

Start = Callable[[], subprocess.Popen[bytes]]


async def add(database: Database) -> None:
    """Add two people, who both like one tag, and one of whom likes another one too."""
    async with database.transaction() as session:
        python, sql = Tag(name="python"), Tag(name="sql")
        users = Repository[User](session)
        await users.create(email="ada@example.com", name="Ada", tags=[python, sql])
        await users.create(email="grace@example.com", name="Grace", tags=[python])


async def test_popular_tags_are_those_that_most_people_like(
    app: FastAPI, start_redis: Start, client: AsyncClient
) -> None:
    start_redis()
    assert (await client.get("/popular-tags")).json() == []
    await add(app.state.database)
    found = (await client.get("/popular-tags")).json()
    assert found == [{"name": "python", "users": 2}, {"name": "sql", "users": 1}]


async def test_a_person_who_is_deleted_likes_nothing_any_more(
    app: FastAPI, start_redis: Start, client: AsyncClient
) -> None:
    start_redis()
    await add(app.state.database)
    await client.get("/popular-tags")
    ada, _ = (await client.get("/users")).json()["items"]
    etag = (await client.get(f"/users/{ada['id']}")).headers["etag"]
    headers = {"If-Match": etag}
    deleted = await client.delete(f"/users/{ada['id']}", headers=headers)
    assert deleted.status_code == 204
    found = (await client.get("/popular-tags")).json()
    assert found == [{"name": "python", "users": 1}]


async def test_a_hit_asks_the_database_for_nothing(
    app: FastAPI, start_redis: Start, client: AsyncClient
) -> None:
    start_redis()
    await add(app.state.database)
    first = (await client.get("/popular-tags")).json()
    # The database is told past the application, so nobody knows that it has changed.
    async with Database(app.state.settings) as other:
        async with other.transaction() as session:
            await Repository[Tag](session).delete(1)
    assert (await client.get("/popular-tags")).json() == first


async def test_without_redis_it_is_read_from_the_database(
    app: FastAPI, client: AsyncClient
) -> None:
    await add(app.state.database)
    answer = await client.get("/popular-tags")
    assert answer.status_code == 200
    assert len(answer.json()) == 2
