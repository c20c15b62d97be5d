"""Routes that the cache serves: the most popular tags."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from sqlalchemy import func, select

from ..models import Tag, User
from .dependencies import CacheDep, lifespan

router = APIRouter(lifespan=lifespan, tags=["tags"])

MAX_POPULAR_TAGS = 10

TTL_SECONDS = 60.0
"""Limit for changes made by other programs; those of this API invalidate at once."""


class PopularTag(BaseModel):
    """A tag and the number of users who like it."""

    name: str = Field(examples=["python"])
    users: int = Field(examples=[2])


@router.get("/popular-tags", response_model=list[PopularTag])
async def list_popular_tags(cache: CacheDep, request: Request) -> Any:
    """List the tags that most users like, most popular first."""

    async def load() -> list[dict[str, Any]]:
        users = func.count(User.id).label("users")
        query = (
            select(Tag.name, users)
            .join(Tag.users)
            .group_by(Tag.id, Tag.name)
            .order_by(users.desc(), Tag.name)
            .limit(MAX_POPULAR_TAGS)
        )
        async with request.app.state.database.read_session() as session:
            return [dict(row) for row in (await session.execute(query)).mappings()]

    return await cache.get_or_set(
        "popular-tags", TTL_SECONDS, load, tags=["tags", "users", "user_tags"]
    )
