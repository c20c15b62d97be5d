"""Development data: two users with profiles, posts and tags."""

from sqlalchemy.ext.asyncio import AsyncSession

from .db import Repository
from .models import Post, PostStatus, Profile, Tag, User


async def seed(session: AsyncSession) -> str:
    """Insert Ada and Grace, unless they are there; return a sentence about it."""
    users = Repository[User](session)
    if await users.exists(email="ada@example.com"):
        return "Ada and Grace are in the database already"
    tags = Repository[Tag](session)
    python = await tags.upsert(["name"], name="python")
    databases = await tags.upsert(["name"], name="databases")
    await users.create(
        email="ada@example.com",
        name="Ada",
        profile=Profile(bio="Writes the first program."),
        posts=[
            Post(title=f"Note {letter}", body="On the engine.", status=status)
            for letter, status in zip("ABCDEFG", [*PostStatus] * 3, strict=False)
        ],
        tags=[python, databases],
    )
    await users.create(
        email="grace@example.com",
        name="Grace",
        profile=Profile(bio="Finds the first bug."),
        tags=[python],
    )
    return "inserted Ada and Grace, with profiles, posts and tags"
