"""Tests of the sample models, their relationships and the development data."""

import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError
from sqlalchemy.orm import joinedload, selectinload

from {{cookiecutter.project_slug}}.db import Database
from {{cookiecutter.project_slug}}.models import (
    Post,
    PostStatus,
    Profile,
    Tag,
    User,
)
from {{cookiecutter.project_slug}}.seeds import seed

from support.query_counter import QueryCounter


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


async def count_rows(database: Database) -> list[int | None]:
    """Return the number of users, profiles, posts and tags."""
    async with database.read_session() as session:
        return [
            await session.scalar(select(func.count()).select_from(model))
            for model in (User, Profile, Post, Tag)
        ]


async def test_a_user_is_read_with_relationships(database: Database, ada: User) -> None:
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


async def test_no_relationship_is_loaded_unasked(database: Database, ada: User) -> None:
    async with database.read_session() as session:
        user = (await session.scalars(select(User))).one()
        with pytest.raises(InvalidRequestError, match="raise_on_sql"):
            _ = user.posts


@pytest.mark.parametrize("by_statement", [True, False])
async def test_what_belongs_to_a_user_is_deleted_with_it(
    database: Database, ada: User, by_statement: bool
) -> None:
    async with database.transaction() as session:
        session.add(ada)
        ada.posts.pop()
    assert await count_rows(database) == [1, 1, 1, 1]
    async with database.transaction() as session:
        if by_statement:
            await session.execute(delete(User))
        else:
            user = await session.get_one(User, ada.id)
            with QueryCounter() as sent:
                await session.delete(user)
                await session.flush()
            # The database cascades: nothing is loaded.
            assert len(sent) == 1
    assert await count_rows(database) == [0, 0, 0, 1]


async def test_a_tag_has_many_users(database: Database, ada: User) -> None:
    async with database.transaction() as session:
        tag = (await session.scalars(select(Tag))).one()
        session.add(User(email="grace@example.com", name="Grace", tags=[tag]))
    async with database.read_session() as session:
        query = select(Tag).options(selectinload(Tag.users))
        tag = (await session.scalars(query)).one()
    assert sorted(user.name for user in tag.users) == ["Ada", "Grace"]


async def test_users_and_their_emails_are_unique(database: Database, ada: User) -> None:
    for second in (
        Profile(user_id=ada.id, bio="Another."),
        User(email="ada@example.com", name="Another"),
        Post(author_id=ada.id + 1, title="Nobody's", body="…"),
    ):
        with pytest.raises(IntegrityError):
            async with database.transaction() as session:
                session.add(second)


async def test_an_unknown_status_is_refused(database: Database, ada: User) -> None:
    with pytest.raises(DBAPIError, match=r"enum poststatus|ck_posts_status"):
        async with database.transaction() as session:
            await session.execute(text("UPDATE posts SET status = 'lost'"))


async def test_seeding_twice_inserts_once(database: Database) -> None:
    said = []
    for _ in range(2):
        async with database.transaction() as session:
            said.append(await seed(session))
        assert await count_rows(database) == [2, 2, 7, 2]
    assert said[0] != said[1]
