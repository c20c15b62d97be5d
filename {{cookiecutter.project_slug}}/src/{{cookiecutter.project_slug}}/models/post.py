"""Posts of users."""

import enum
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..db import Model

if TYPE_CHECKING:
    from .user import User


class PostStatus(enum.Enum):
    """Publication status of a post."""

    DRAFT = "draft"
    PUBLISHED = "published"
    ARCHIVED = "archived"


class Post(Model):
    """A post, written by one user."""

    author_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    title: Mapped[str]
    body: Mapped[str]
    status: Mapped[PostStatus] = mapped_column(default=PostStatus.DRAFT)

    author: Mapped["User"] = relationship(back_populates="posts", lazy="raise_on_sql")
