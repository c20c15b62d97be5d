"""Tests of the development data."""

from sqlalchemy.ext.asyncio import AsyncSession

from {{cookiecutter.project_slug}}.db import Repository
from {{cookiecutter.project_slug}}.models import Post, Tag, User
from {{cookiecutter.project_slug}}.seeds import seed


async def count_rows(session: AsyncSession) -> list[int]:
    """Return the number of users, posts and tags."""
    return [
        await Repository[User](session).count(),
        await Repository[Post](session).count(),
        await Repository[Tag](session).count(),
    ]


async def test_seeding_twice_inserts_once(session: AsyncSession) -> None:
    first = await seed(session)
    assert await count_rows(session) == [2, 7, 2]
    assert await seed(session) != first
    assert await count_rows(session) == [2, 7, 2]
