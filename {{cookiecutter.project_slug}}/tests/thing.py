"""A model for the tests of the data layer; its table is in no migration."""

import enum
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, ForeignKey, MetaData
from sqlalchemy.orm import Mapped, mapped_column, relationship

from {{cookiecutter.project_slug}}.models.base import Base


class ThingBase(Base):
    """Keeps the tables of the tests apart from those of the application."""

    __abstract__ = True
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)


class Colour(enum.Enum):
    """What a thing looks like."""

    RED = "red"
    DEEP_BLUE = "deep blue"


class Thing(ThingBase):
    """Something with a column of each kind that drivers treat differently."""

    name: Mapped[str] = mapped_column(unique=True)
    size: Mapped[int] = mapped_column(default=1)
    colour: Mapped[Colour] = mapped_column(default=Colour.RED)
    seen_at: Mapped[datetime | None]
    notes: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    parts: Mapped[list["Part"]] = relationship(lazy="raise_on_sql")


class Part(ThingBase):
    """Something with two columns for a key, which refers to a thing."""

    id = None  # type: ignore[assignment]
    thing_id: Mapped[int] = mapped_column(
        ForeignKey("things.id", ondelete="RESTRICT"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)


class Mark(ThingBase):
    """Something that the application numbers itself."""

    id: Mapped[UUID] = mapped_column(  # type: ignore[assignment]
        primary_key=True, default=uuid4
    )
    text: Mapped[str]
