"""Profiles of users."""

from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..db import Model

if TYPE_CHECKING:
    from .user import User


class Profile(Model):
    """Profile of a user; the unique key makes a second one impossible."""

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), unique=True
    )
    bio: Mapped[str]

    user: Mapped["User"] = relationship(back_populates="profile", lazy="raise_on_sql")
