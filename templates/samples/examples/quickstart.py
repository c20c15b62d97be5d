"""Quickstart: write, read, roll back and page, in five steps."""

from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from {{cookiecutter.project_slug}}.cli import run
from {{cookiecutter.project_slug}}.db import (
    ConstraintViolationError,
    Database,
    Repository,
)
from {{cookiecutter.project_slug}}.models import Post, User
from {{cookiecutter.project_slug}}.seeds import seed
from {{cookiecutter.project_slug}}.settings import Settings


async def write(database: Database) -> None:
    """Insert development data, in one transaction that commits when the block ends."""
    async with database.transaction() as session:
        print(f"write  {await seed(session)}")


async def read(database: Database) -> None:
    """Read users with everything that belongs to them, in three statements."""
    query = (
        select(User)
        .options(joinedload(User.profile))
        .options(selectinload(User.posts), selectinload(User.tags))
        .where(User.email.endswith("@example.com"))
        .order_by(User.name)
    )
    async with database.read_session() as session:
        for user in await session.scalars(query):
            tags = " and ".join(sorted(tag.name for tag in user.tags))
            bio = user.profile.bio if user.profile else "No profile."
            print(f"read   {user.name}: {bio} {len(user.posts)} posts; likes {tags}")


async def roll_back(database: Database) -> None:
    """Raise inside the block: nothing of the transaction is stored."""
    try:
        async with database.transaction() as session:
            users = Repository[User](session)
            await users.create(email="eve@example.com", name="Eve")
            await users.create(email="ada@example.com", name="A second Ada")
    except ConstraintViolationError as error:
        print(f"undo   {error}")
    async with database.read_session() as session:
        stored = await Repository[User](session).exists(email="eve@example.com")
    print(f"undo   Eve is stored: {'yes' if stored else 'no'}")


async def page(database: Database) -> None:
    """Read posts three at a time; the cost of a page does not depend on its number."""
    async with database.read_session() as session:
        posts = Repository[Post](session)
        found = await posts.page(size=3, order_by=Post.title)
        while found.items:
            print(f"page   {', '.join(post.title for post in found.items)}")
            if found.next is None:
                break
            found = await posts.page(size=3, order_by=Post.title, after=found.next)


async def main() -> None:
    """Run all steps on the database of the settings."""
    async with Database(Settings()) as database:
        await write(database)
        await read(database)
        await roll_back(database)
        await page(database)


if __name__ == "__main__":
    run(main())
