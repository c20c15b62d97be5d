"""Declarative base of all models, mixins for them, and discovery of modules."""

import enum
import re
import secrets
import time
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from uuid import UUID

from sqlalchemy import DateTime, Dialect, MetaData, Table, TypeDecorator, event
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Mapper,
    declared_attr,
    has_inherited_table,
    mapped_column,
)

from .types import ENUM_TYPE, JSON_TYPES, TABLE_HOOKS, id_column, utc_now


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime; it comes back in UTC.

    A naive datetime is refused, because drivers disagree on its time zone.
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
        """Mark the database's value as UTC."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def given_name(constraint: Any, table: Table) -> str:
    """Return the name of a CHECK, which nothing but its author can give."""
    if isinstance(constraint.name, str):
        return constraint.name
    raise InvalidRequestError(
        f"a CheckConstraint of the table {table.name} needs name=…:"
        f" {constraint.sqltext}"
    )


NAMING_CONVENTION: dict[str, Any] = {
    "constraint_name": given_name,
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Constraint names: a migration cannot drop a constraint without one."""

TYPE_ANNOTATION_MAP: dict[Any, Any] = {
    datetime: UTCDateTime(),
    enum.Enum: ENUM_TYPE,
    **JSON_TYPES,
}
"""Column types of annotations, beside SQLAlchemy's own."""


class ModelDefaults:
    """Table name, repr and eager defaults, for any declarative base.

    The table is named after the class, in plural snake case: `BlogPost` becomes
    `blog_posts`. Set `__tablename__` where English wants another plural.
    """

    @declared_attr.directive
    @classmethod
    def __tablename__(cls) -> str | None:
        """Return the class name in plural snake case; a subclass shares the table."""
        if has_inherited_table(cast(type[DeclarativeBase], cls)):
            return None
        words = re.sub(
            r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__
        )
        return _plural(words.lower())

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Map the class, then complete its mapper and table."""
        super().__init_subclass__(**kwargs)
        mapper: Mapper[Any] | None = vars(cls).get("__mapper__")
        # Read values that the database computes together with the INSERT or UPDATE:
        # an async session cannot load them later, on attribute access.
        if mapper is not None and mapper.eager_defaults == "auto":
            mapper.eager_defaults = True
        table: Table | None = vars(cls).get("__table__")
        if table is not None:
            for hook in TABLE_HOOKS:
                hook(table)

    def __repr__(self) -> str:
        """Show the columns that are loaded, without loading one."""
        loaded = self.__dict__
        mapper: Mapper[Any] = getattr(self, "__mapper__")  # noqa: B009
        shown = ", ".join(
            f"{column.key}={loaded[column.key]!r}"
            for column in mapper.column_attrs
            if column.key in loaded
        )
        return f"{type(self).__name__}({shown})"


class Base(ModelDefaults, DeclarativeBase):
    """Base of all models, without columns: the model declares its own key."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = TYPE_ANNOTATION_MAP


def uuid7() -> UUID:
    """Return a random UUID that sorts by time of creation: RFC 9562, version 7.

    Python 3.14 has `uuid.uuid7`.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | secrets.randbits(80)
    # Four bits of version and two of variant.
    value = value & ~(0xF << 76) | 7 << 76
    return UUID(int=value & ~(0b11 << 62) | 0b10 << 62)


class IntegerId:
    """Mixin: an integer primary key `id`, numbered by the database."""

    id: Mapped[int] = id_column()


class UUIDId:
    """Mixin: a UUID primary key `id`, made by the application and sorted by time."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-1)


class Timestamps:
    """Mixin: `created_at` and `updated_at`, set by the database."""

    created_at: Mapped[datetime] = mapped_column(server_default=utc_now(), sort_order=1)
    updated_at: Mapped[datetime] = mapped_column(
        server_default=utc_now(), onupdate=utc_now(), sort_order=1
    )


class Model(IntegerId, Timestamps, Base):
    """Base of most models: an integer `id` and timestamps."""

    __abstract__ = True


def import_submodules(package: str, name: str) -> list[ModuleType]:
    """Import every module called `name` and every module in a folder of that name.

    For "models" that is `models/user.py`, `orders/models.py`, `orders/models/order.py`.

    Args:
        package: The import name of the application, such as "async_app".
        name: The name to look for, at any depth.

    Returns:
        The modules, in the order of their paths.
    """
    (root,) = map(Path, import_module(package).__path__)
    modules = []
    for path in sorted({*root.rglob(f"{name}/**/*.py"), *root.rglob(f"{name}.py")}):
        parts = path.relative_to(root).with_suffix("").parts
        names = parts[:-1] if parts[-1] == "__init__" else parts
        modules.append(import_module(".".join((package, *names))))
    return modules


@event.listens_for(Mapper, "before_configured")
def import_models() -> None:
    """Import every model of the application, so relationships find them by name.

    SQLAlchemy calls this before the first model is used.
    """
    import_submodules(__name__.partition(".")[0], "models")


def _plural(word: str) -> str:
    if re.search(r"[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    if re.search(r"(s|x|z|ch|sh)$", word):
        return f"{word}es"
    return f"{word}s"
