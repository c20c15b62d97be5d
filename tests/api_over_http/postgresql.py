"""What only PostgreSQL can do: transactions that collide are noticed at COMMIT."""

import asyncio
from collections.abc import Awaitable, Callable

from async_app.api.dependencies import Session
from async_app.database import Database
from async_app.models import Tag
from async_app.repository import Repository
from fastapi import FastAPI
from httpx import AsyncClient

Serve = Callable[[FastAPI], Awaitable[AsyncClient]]


async def test_a_serialization_failure_at_commit_is_answered_with_try_again(
    app: FastAPI, serve: Serve, database: Database
) -> None:
    both = asyncio.Barrier(2)

    @app.post("/only/{name}", status_code=201)
    async def create_the_only_one(session: Session, name: str) -> int:
        await session.connection(execution_options={"isolation_level": "SERIALIZABLE"})
        tags = Repository[Tag](session)
        assert await tags.count() == 0
        await both.wait()
        id = (await tags.create(name=name)).id
        await both.wait()
        return id

    client = await serve(app)
    answers = await asyncio.gather(client.post("/only/a"), client.post("/only/b"))
    answers.sort(key=lambda each: each.status_code)
    assert [each.status_code for each in answers] == [201, 503]
    assert answers[1].headers["retry-after"] == "1"
    assert answers[1].headers["content-type"] == "application/problem+json"
    async with database.reader() as session:
        assert await Repository[Tag](session).count() == 1
