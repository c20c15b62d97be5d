"""A tour of the project: `python -m` with the name of this package."""

import asyncio
import sys

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, selectinload

from . import dialect, failures, parts
from .database import Database
from .models import Post, PostStatus, Profile, Tag, User
from .repository import Repository
from .settings import Settings, SettingsError


async def write(session: AsyncSession) -> None:
    """Store two users with their profiles, posts and tags, if they are not there."""
    tags = {name: await find_tag(session, name) for name in ("python", "databases")}
    users = Repository[User](session)
    if await users.exists(email="ada@example.com"):
        print("write     Ada and Grace are here already")
        return
    await users.create(
        email="ada@example.com",
        name="Ada",
        profile=Profile(bio="Writes the first program."),
        posts=[
            Post(title=f"Note {letter}", body="On the engine.", status=status)
            for letter, status in zip("ABCDEFG", [*PostStatus] * 3, strict=False)
        ],
        tags=[*tags.values()],
    )
    await users.create(
        email="grace@example.com",
        name="Grace",
        profile=Profile(bio="Finds the first bug."),
        tags=[tags["python"]],
    )
    print("write     Ada and Grace, with profiles, posts and tags, in one transaction")


async def find_tag(session: AsyncSession, name: str) -> Tag:
    """Return the tag with this name; make it if there is none."""
    return await Repository[Tag](session).upsert(on=["name"], name=name)


async def read(session: AsyncSession) -> None:
    """Read the users with all that belongs to them: three statements, however many."""
    query = (
        select(User)
        .where(User.email.in_(["ada@example.com", "grace@example.com"]))
        .options(joinedload(User.profile))
        .options(selectinload(User.posts), selectinload(User.tags))
        .order_by(User.name)
    )
    for user in await session.scalars(query):
        tags = " and ".join(sorted(tag.name for tag in user.tags))
        bio = user.profile.bio if user.profile else "Says nothing."
        print(f"read      {user.name}: {bio} {len(user.posts)} posts; likes {tags}")


async def fail(database: Database) -> None:
    """Show that a block which raises stores nothing."""
    try:
        async with database.transaction() as session:
            await Repository[User](session).create(email="eve@example.com", name="Eve")
            raise RuntimeError("something goes wrong")
    except RuntimeError as error:
        reason = error
    async with database.reader() as session:
        stored = await Repository[User](session).exists(email="eve@example.com")
    print(f"roll back {reason}, and Eve is stored: {'yes' if stored else 'no'}")


async def turn_pages(session: AsyncSession) -> None:
    """Read all posts, a page at a time, by keyset."""
    posts = Repository[Post](session)
    page = await posts.page(size=3, order_by=Post.title)
    while page.items:
        titles = ", ".join(f"{post.title} ({post.status.value})" for post in page.items)
        print(f"page      {titles}")
        if page.next is None:
            return
        page = await posts.page(size=3, order_by=Post.title, after=page.next)


async def tour(database: Database) -> None:
    """Write, read, fail and turn pages."""
    async with database.transaction() as session:
        await write(session)
    async with database.reader() as session:
        await read(session)
    await fail(database)
    async with database.reader() as session:
        await turn_pages(session)


async def main() -> None:
    """Take the tour on the database of the settings."""
    async with Database(Settings()) as database:
        await tour(database)
        for part in parts.load("tour"):
            await part.tour(database)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except SettingsError as error:
        sys.exit(f"{error}")
    except dialect.ERRORS as error:
        sys.exit(failures.explain(error))
