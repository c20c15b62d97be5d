"""Users, and the association table of their tags."""

from typing import TYPE_CHECKING

from sqlalchemy import Column, ForeignKey, Table
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..db import Model

if TYPE_CHECKING:
    from .post import Post
    from .profile import Profile
    from .tag import Tag

user_tags = Table(
    "user_tags",
    Model.metadata,
    Column(
        "user_id",
        ForeignKey("users.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column(
        "tag_id",
        ForeignKey("tags.id", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
)


class User(Model):
    """A person with one profile, many posts and any number of tags.

    Relationships are never loaded implicitly. Name the ones you need:
    `select(User).options(selectinload(User.posts), joinedload(User.profile))`.
    """

    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]

    profile: Mapped["Profile | None"] = relationship(
        back_populates="user",
        cascade="all, delete-orphan",
        passive_deletes=True,
        lazy="raise_on_sql",
    )
    posts: Mapped[list["Post"]] = relationship(
        back_populates="author",
        cascade="all, delete-orphan",
        passive_deletes=True,
        lazy="raise_on_sql",
    )
    tags: Mapped[list["Tag"]] = relationship(
        secondary=user_tags,
        back_populates="users",
        passive_deletes=True,
        lazy="raise_on_sql",
    )
