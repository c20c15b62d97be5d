"""Tags that users share."""

from typing import TYPE_CHECKING

from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..db import Model
from .user import user_tags

if TYPE_CHECKING:
    from .user import User


class Tag(Model):
    """A tag, shared by any number of users."""

    name: Mapped[str] = mapped_column(unique=True)

    users: Mapped[list["User"]] = relationship(
        secondary=user_tags,
        back_populates="tags",
        passive_deletes=True,
        lazy="raise_on_sql",
    )
