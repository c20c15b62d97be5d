"""Tests of the cached routes."""

import subprocess
from collections.abc import Callable

from fastapi import FastAPI
from httpx import AsyncClient

from {{cookiecutter.project_slug}}.db import Database, Repository
from {{cookiecutter.project_slug}}.models import Tag, User

Start = Callable[[], subprocess.Popen[bytes]]


async def create_users(database: Database) -> None:
    """Create two users who like one tag; the first likes another one as well."""
    async with database.transaction() as session:
        python, sql = Tag(name="python"), Tag(name="sql")
        users = Repository[User](session)
        await users.create(email="ada@example.com", name="Ada", tags=[python, sql])
        await users.create(email="grace@example.com", name="Grace", tags=[python])


async def test_popular_tags_are_sorted_by_users(
    app: FastAPI, start_redis: Start, client: AsyncClient
) -> None:
    start_redis()
    assert (await client.get("/popular-tags")).json() == []
    await create_users(app.state.database)
    found = (await client.get("/popular-tags")).json()
    assert found == [{"name": "python", "users": 2}, {"name": "sql", "users": 1}]


async def test_deleted_user_no_longer_counts(
    app: FastAPI, start_redis: Start, client: AsyncClient
) -> None:
    start_redis()
    await create_users(app.state.database)
    await client.get("/popular-tags")
    ada, _ = (await client.get("/users")).json()["items"]
    etag = (await client.get(f"/users/{ada['id']}")).headers["etag"]
    headers = {"If-Match": etag}
    deleted = await client.delete(f"/users/{ada['id']}", headers=headers)
    assert deleted.status_code == 204
    found = (await client.get("/popular-tags")).json()
    assert found == [{"name": "python", "users": 1}]


async def test_hit_does_not_query_the_database(
    app: FastAPI, start_redis: Start, client: AsyncClient
) -> None:
    start_redis()
    await create_users(app.state.database)
    first = (await client.get("/popular-tags")).json()
    # A write outside the application invalidates nothing.
    async with Database(app.state.settings) as other:
        async with other.transaction() as session:
            await Repository[Tag](session).delete(1)
    assert (await client.get("/popular-tags")).json() == first


async def test_without_redis_the_database_is_queried(
    app: FastAPI, client: AsyncClient
) -> None:
    await create_users(app.state.database)
    answer = await client.get("/popular-tags")
    assert answer.status_code == 200
    assert len(answer.json()) == 2
