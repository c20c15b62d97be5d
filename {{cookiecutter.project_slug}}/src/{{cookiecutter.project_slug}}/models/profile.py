"""What a user tells about themselves."""

from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from .base import Base

if TYPE_CHECKING:
    from .user import User


class Profile(Base):
    """The one profile of a user; the unique key makes a second one impossible."""

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), unique=True
    )
    bio: Mapped[str]

    user: Mapped["User"] = relationship(back_populates="profile", lazy="raise_on_sql")
