"""Tests of the sample models and their relationships."""

import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, selectinload

from {{cookiecutter.project_slug}}.db import Base, Database
from {{cookiecutter.project_slug}}.models import (
    Post,
    PostStatus,
    Profile,
    Tag,
    User,
)


@pytest.fixture
async def ada(database: Database) -> User:
    """A user with a profile, posts and tags."""
    async with database.transaction() as session:
        user = User(
            email="ada@example.com",
            name="Ada",
            profile=Profile(bio="Writes programs."),
            posts=[Post(title="One", body="…"), Post(title="Two", body="…")],
            tags=[Tag(name="python")],
        )
        session.add(user)
    return user


async def count(session: AsyncSession, model: type[Base]) -> int:
    """Return the number of rows of a model."""
    return await session.scalar(select(func.count()).select_from(model)) or 0


async def test_a_user_is_read_with_its_relationships(
    database: Database, ada: User
) -> None:
    query = select(User).options(
        joinedload(User.profile), selectinload(User.posts), selectinload(User.tags)
    )
    async with database.read_session() as session:
        user = (await session.scalars(query)).one()
    assert user.profile is not None
    assert user.profile.bio == "Writes programs."
    assert [post.title for post in user.posts] == ["One", "Two"]
    assert [post.status for post in user.posts] == [PostStatus.DRAFT] * 2
    assert [tag.name for tag in user.tags] == ["python"]


async def test_an_unnamed_relationship_is_not_loaded(
    database: Database, ada: User
) -> None:
    async with database.read_session() as session:
        user = (await session.scalars(select(User))).one()
        with pytest.raises(InvalidRequestError, match="raise_on_sql"):
            _ = user.posts


async def test_the_database_cascades_a_delete(database: Database, ada: User) -> None:
    async with database.transaction() as session:
        await session.execute(delete(User))
    async with database.read_session() as session:
        assert await count(session, Profile) == 0
        assert await count(session, Post) == 0
        assert await count(session, Tag) == 1


async def test_a_session_deletes_without_loading(database: Database, ada: User) -> None:
    async with database.transaction() as session:
        await session.delete(await session.get_one(User, ada.id))
    async with database.read_session() as session:
        assert await count(session, Post) == 0


async def test_an_orphaned_post_is_deleted(database: Database, ada: User) -> None:
    async with database.transaction() as session:
        user = await session.get_one(User, ada.id, options=[selectinload(User.posts)])
        user.posts.pop()
    async with database.read_session() as session:
        assert await count(session, Post) == 1


async def test_a_tag_has_many_users(database: Database, ada: User) -> None:
    async with database.transaction() as session:
        tag = (await session.scalars(select(Tag))).one()
        session.add(User(email="grace@example.com", name="Grace", tags=[tag]))
    async with database.read_session() as session:
        query = select(Tag).options(selectinload(Tag.users))
        tag = (await session.scalars(query)).one()
    assert sorted(user.name for user in tag.users) == ["Ada", "Grace"]


async def test_a_user_has_one_profile_and_an_email_one_user(
    database: Database, ada: User
) -> None:
    for second in (
        Profile(user_id=ada.id, bio="Another."),
        User(email="ada@example.com", name="Another"),
        Post(author_id=ada.id + 1, title="Nobody's", body="…"),
    ):
        with pytest.raises(IntegrityError):
            async with database.transaction() as session:
                session.add(second)


async def test_the_database_refuses_an_unknown_status(
    database: Database, ada: User
) -> None:
    with pytest.raises(DBAPIError, match=r"enum poststatus|ck_posts_status"):
        async with database.transaction() as session:
            await session.execute(text("UPDATE posts SET status = 'lost'"))
