"""Models of the tests: a registry and tables apart from those of the application."""

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from {{cookiecutter.project_slug}}.db import base


class SupportBase(base.ModelDefaults, DeclarativeBase):
    """Base with a separate registry: a user's model may be called `Item`, too."""

    metadata = MetaData(naming_convention=base.NAMING_CONVENTION)
    type_annotation_map = base.TYPE_ANNOTATION_MAP


class Colour(enum.Enum):
    """Colour of an item."""

    RED = "red"
    DEEP_BLUE = "deep blue"


class Item(base.IntegerId, base.Timestamps, SupportBase):
    """A model with a column of each kind that drivers treat differently."""

    __tablename__ = "test_support_items"

    name: Mapped[str] = mapped_column(unique=True)
    size: Mapped[int] = mapped_column(default=1)
    colour: Mapped[Colour] = mapped_column(default=Colour.RED)
    seen_at: Mapped[datetime | None]
    notes: Mapped[dict[str, Any] | None]
    steps: Mapped[list[Any] | None]
    components: Mapped[list["Component"]] = relationship(lazy="raise_on_sql")


class Component(SupportBase):
    """A model with a composite key, which refers to an item."""

    __tablename__ = "test_support_components"

    item_id: Mapped[int] = mapped_column(
        ForeignKey("test_support_items.id", ondelete="RESTRICT"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)


class Label(base.UUIDId, SupportBase):
    """A model with a key that the application makes."""

    __tablename__ = "test_support_labels"

    text: Mapped[str]
