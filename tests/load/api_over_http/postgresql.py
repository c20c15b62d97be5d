"""Serialization failures, which PostgreSQL reports at COMMIT."""

import asyncio
from collections.abc import Awaitable, Callable

from async_app.api.dependencies import SessionDep
from async_app.db import Database, Repository
from async_app.models import Tag
from fastapi import FastAPI
from httpx import AsyncClient

Serve = Callable[[FastAPI], Awaitable[AsyncClient]]


async def test_a_serialization_failure_at_commit_returns_503(
    app: FastAPI, serve: Serve, database: Database
) -> None:
    both = asyncio.Barrier(2)

    @app.post("/_test/only/{name}", status_code=201)
    async def create_the_only_one(session: SessionDep, name: str) -> int:
        await session.connection(execution_options={"isolation_level": "SERIALIZABLE"})
        tags = Repository[Tag](session)
        assert await tags.count() == 0
        await both.wait()
        id = (await tags.create(name=name)).id
        await both.wait()
        return id

    client = await serve(app)
    responses = await asyncio.gather(
        client.post("/_test/only/a"), client.post("/_test/only/b")
    )
    responses.sort(key=lambda each: each.status_code)
    assert [each.status_code for each in responses] == [201, 503]
    assert responses[1].headers["retry-after"] == "1"
    assert responses[1].headers["content-type"] == "application/problem+json"
    async with database.read_session() as session:
        assert await Repository[Tag](session).count() == 1
