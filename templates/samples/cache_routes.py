"""What is served from the cache: the tags that most people like."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from sqlalchemy import func, select

from ..models import Tag, User
from .serving import Cached, lifespan

router = APIRouter(lifespan=lifespan, tags=["tags"])

MOST = 10
"""How many tags are popular."""

TTL = 60.0
"""Seconds; for what nobody saw, since what the API writes is seen at once."""


class PopularTag(BaseModel):
    """A tag, and how many people like it."""

    name: str = Field(examples=["python"])
    users: int = Field(examples=[2])


@router.get("/popular-tags", response_model=list[PopularTag])
async def list_popular_tags(cache: Cached, request: Request) -> Any:
    """List the tags that most people like, the most popular one first."""

    async def load() -> list[dict[str, Any]]:
        users = func.count(User.id).label("users")
        query = (
            select(Tag.name, users)
            .join(Tag.users)
            .group_by(Tag.id, Tag.name)
            .order_by(users.desc(), Tag.name)
            .limit(MOST)
        )
        async with request.app.state.database.reader() as session:
            return [dict(row) for row in (await session.execute(query)).mappings()]

    return await cache.get_or_set(
        "popular-tags", TTL, load, tags=["tags", "users", "user_tags"]
    )
