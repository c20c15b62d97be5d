"""What all models share."""

import enum
import re
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import DateTime, Dialect, MetaData, Table, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

from .. import dialect, parts


class UTCDateTime(TypeDecorator[datetime]):
    """A moment in time: aware when it goes in, aware and in UTC when it comes back.

    A naive datetime is refused, because drivers disagree on whose clock it shows.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Convert to UTC; raise ValueError for a naive datetime."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone: use datetime.now(UTC)")
        return value.astimezone(UTC)

    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Mark what the database returns as UTC."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """The base of all models: a table name, an id, two timestamps, a readable repr.

    The table is named after the class, in plural: `BlogPost` lies in `blog_posts`.
    Set `__tablename__` where English wants another plural.
    """

    metadata = MetaData(
        # Constraints without a name cannot be dropped by a migration.
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UTCDateTime(), enum.Enum: dialect.ENUM}
    # What the database computes comes back with the INSERT or UPDATE, so that
    # reading it later needs no statement, which an async session could not send.
    __mapper_args__ = {"eager_defaults": True}

    @declared_attr.directive
    @classmethod
    def __tablename__(cls) -> str:
        """Return the class name in plural snake case."""
        words = re.sub(
            r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__
        )
        return _plural(words.lower())

    id: Mapped[int] = mapped_column(*dialect.ID, primary_key=True, sort_order=-1)
    created_at: Mapped[datetime] = mapped_column(
        server_default=dialect.NOW, sort_order=1
    )
    updated_at: Mapped[datetime] = mapped_column(
        server_default=dialect.NOW, onupdate=dialect.NOW, sort_order=1
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let the database's dialect complete the table of each new model."""
        super().__init_subclass__(**kwargs)
        if "__table__" in cls.__dict__:
            dialect.finish_table(cast(Table, cls.__table__))

    def __repr__(self) -> str:
        """Show the columns that are loaded; never load one."""
        loaded = self.__dict__
        shown = ", ".join(
            f"{column.key}={loaded[column.key]!r}"
            for column in self.__mapper__.column_attrs
            if column.key in loaded
        )
        return f"{type(self).__name__}({shown})"


def _plural(word: str) -> str:
    if re.search(r"[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    if re.search(r"(s|x|z|ch|sh)$", word):
        return f"{word}es"
    return f"{word}s"


def load_models() -> MetaData:
    """Import every model of the package and return the metadata with their tables.

    A model is found in any module of `models/` and in any `models.py`, at any depth.
    """
    parts.load("models")
    return Base.metadata
