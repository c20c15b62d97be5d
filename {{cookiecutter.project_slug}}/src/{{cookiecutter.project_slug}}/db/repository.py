"""Repository: the queries that every model needs; the caller owns the transaction."""

from collections.abc import (
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Set,
    ValuesView,
)
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice, repeat, starmap
from operator import itemgetter
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Mapper
from sqlalchemy.orm.interfaces import ORMOption

from .bulk import insert, insert_many
from .errors import constraint_name
from .exceptions import (
    ConstraintViolationError,
    MultipleResultsError,
    NotFoundError,
    UnknownColumnError,
)
from .types import largest_integer

ModelT = TypeVar("ModelT", bound=DeclarativeBase)

Where = sa.ColumnExpressionArgument[bool] | ORMOption
"""A condition such as `User.name == "Ada"`, or a loader option."""

SEVERAL = (Sequence, Set, Iterator, ValuesView)
"""Kinds of values of which a keyword argument means any."""

CHUNK_ROWS = 1000
"""Rows that `create_many` converts at a time."""


@dataclass(frozen=True)
class Page(Generic[ModelT]):
    """Some rows of many, and the cursors of the pages beside it.

    Attributes:
        items: The rows.
        next: Cursor to pass as `after` for the next page, or None at the end.
        previous: Cursor to pass as `before` for the previous page, or None.
    """

    items: Sequence[ModelT]
    next: tuple[Any, ...] | None
    previous: tuple[Any, ...] | None


class Repository(Generic[ModelT]):
    """Reads and writes the rows of one model: `Repository[User](session)`.

    It never commits and never swallows an error. `where` takes expressions and loader
    options, in any order: `get_all(User.age > 17, selectinload(User.posts))`. Keyword
    arguments are the short form for equality: None means IS NULL, a list, set, range or
    generator means any of its values.
    """

    model: type[ModelT]

    def __class_getitem__(cls, model: Any) -> Any:
        """Return this repository for a model."""
        if isinstance(model, TypeVar):
            return super().__class_getitem__(model)  # type: ignore[misc]
        this: Any = cls
        return _bind(this, model)

    def __init__(self, session: AsyncSession) -> None:
        """Work in the caller's session, and so in the caller's transaction."""
        self.session = session

    async def get(self, id: Any, /, *options: ORMOption) -> ModelT:
        """Return the row with this primary key; a composite key is a tuple.

        Raises:
            NotFoundError: There is none.
            TypeError: The key has another type.
        """
        self._primary_key(id)
        row = await self.session.get(self.model, id, options=options)
        if row is None:
            raise self._not_found(id)
        return row

    async def get_one(self, /, *where: Where, **equal: Any) -> ModelT:
        """Return the only row that matches.

        Raises:
            NotFoundError: There is none.
            MultipleResultsError: There are several.
        """
        rows = await self._scalars(self._select(where, equal).limit(2))
        if len(rows) > 1:
            raise MultipleResultsError(
                f"several {self.model.__name__} rows match {_describe(where, equal)}"
            )
        return self._first_or_raise(rows, where, equal)

    async def get_last(self, /, *where: Where, **equal: Any) -> ModelT:
        """Return the matching row with the highest primary key.

        Raises:
            NotFoundError: There is none.
        """
        newest_first = [column.desc() for column in self._mapper.primary_key]
        query = self._select(where, equal).order_by(*newest_first).limit(1)
        return self._first_or_raise(await self._scalars(query), where, equal)

    async def get_all(self, /, *where: Where, **equal: Any) -> Sequence[ModelT]:
        """Return all rows that match, in the order of their primary key."""
        query = self._select(where, equal)
        return await self._scalars(query.order_by(*self._mapper.primary_key))

    async def count(self, /, *where: Where, **equal: Any) -> int:
        """Return the number of rows that match."""
        query = sa.select(sa.func.count()).select_from(self.model)
        conditions = self._conditions(where, equal)
        return await self.session.scalar(query.where(*conditions)) or 0

    async def exists(self, /, *where: Where, **equal: Any) -> bool:
        """Return whether a row matches."""
        conditions = self._conditions(where, equal)
        found = sa.exists().where(*conditions).select_from(self.model)
        return bool(await self.session.scalar(sa.select(found)))

    async def page(
        self,
        *where: Where,
        after: Sequence[Any] | None = None,
        before: Sequence[Any] | None = None,
        size: int = 50,
        order_by: InstrumentedAttribute[Any] | None = None,
        descending: bool = False,
    ) -> Page[ModelT]:
        """Return a page by keyset: its cost and its rows do not depend on an offset.

        Args:
            where: Conditions, the same for each page, and loader options.
            after: The `next` of the page before; None for the first page.
            before: The `previous` of the page after, to go back.
            size: Maximum number of rows.
            order_by: A column that is never NULL; the primary key breaks ties.
            descending: Whether to start with the highest.

        Raises:
            ValueError: It is no column, the column may be NULL, or the size is below one.
        """
        if size < 1:
            raise ValueError(f"a page has at least one row, not {size}")
        keys: list[Any] = list(self._mapper.primary_key)
        if order_by is not None:
            first = self._mapper.columns.get(getattr(order_by, "key", ""))
            if not isinstance(first, sa.Column):
                raise ValueError(
                    f"a page has the order of a column of {self.model.__name__}, not of"
                    f" {order_by}; descending=True reverses it"
                )
            if first.nullable:
                raise ValueError(f"{order_by} may be NULL, which has no place in order")
            keys = [first, *(key for key in keys if key is not first)]
        backwards = before is not None
        falls = descending != backwards
        query = self._select(where, {})
        if (bound := before if backwards else after) is not None:
            values = [sa.literal(v, k.type) for v, k in zip(bound, keys, strict=True)]
            position, limit = sa.tuple_(*keys), sa.tuple_(*values)
            query = query.where(position < limit if falls else position > limit)
        query = query.order_by(*(key.desc() if falls else key.asc() for key in keys))
        rows = await self._scalars(query.limit(size + 1))
        more = len(rows) > size
        rows = list(reversed(rows[:size])) if backwards else rows[:size]
        has_previous = more if backwards else after is not None
        return Page(
            items=rows,
            next=self._cursor(rows[-1], keys) if rows and (more or backwards) else None,
            previous=self._cursor(rows[0], keys) if rows and has_previous else None,
        )

    async def create(self, /, **data: Any) -> ModelT:
        """Insert a row and return it with the values that the database computed.

        Raises:
            ConstraintViolationError: The row violates a constraint.
            UnknownColumnError: The model has no such column or relationship.
        """
        self._refuse_unknown(data, self._mapper.attrs.keys())
        row = self.model(**data)
        self.session.add(row)
        with self._translating_integrity_errors():
            await self.session.flush()
        return row

    async def update(self, id: Any, /, **data: Any) -> ModelT:
        """Change columns of the row with this primary key, in one statement.

        Raises:
            ConstraintViolationError: The row would violate a constraint.
            NotFoundError: There is no such row.
            UnknownColumnError: The model has no such column.
        """
        self._refuse_unknown(data, self._mapper.columns.keys())
        if not data:
            return await self.get(id)
        key = self._primary_key_filter(id)
        rows = await self._returning(sa.update(self.model).where(*key).values(data))
        if not rows:
            raise self._not_found(id)
        return rows[0]

    async def delete(self, id: Any, /) -> None:
        """Delete the row with this primary key; foreign keys to it follow their rules.

        Raises:
            ConstraintViolationError: Another row refers to it and forbids that.
            NotFoundError: There is no such row.
        """
        statement = sa.delete(self.model).where(*self._primary_key_filter(id))
        with self._translating_integrity_errors():
            result: Any = await self.session.execute(statement)
        if not result.rowcount:
            raise self._not_found(id)

    async def create_many(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Insert many rows in the fastest way the database has; return their number.

        Rows are read as they are needed, so a generator of millions takes no memory.
        All have the columns of the first; defaults are filled in.

        Raises:
            ConstraintViolationError: A row violates a constraint; no row is stored.
            UnknownColumnError: A row has other columns than the first; none is stored.
        """
        remaining = iter(rows)
        first = next(remaining, None)
        if first is None:
            return 0
        columns = self._mapper.columns
        self._refuse_unknown(first, columns.keys())
        dialect = self.session.get_bind().dialect
        given = {name: _converter(columns[name], dialect) for name in first}
        defaults = {
            name: default
            for name, column in columns.items()
            if name not in first and (default := _default(column, dialect))
        }
        table: Any = self._mapper.local_table
        names = [columns[name].name for name in (*given, *defaults)]
        values = _values(chain([first], remaining), given, defaults)
        # The savepoint reverts the rows stored before one that violates a constraint.
        with self._translating_integrity_errors():
            async with self.session.begin_nested():
                return await insert_many(self.session, table, names, values)

    async def upsert(self, on: Sequence[str], /, **data: Any) -> ModelT:
        """Insert a row, or change the one that has the same values in `on`.

        Args:
            on: Columns of a unique constraint, or of the primary key.
            data: The whole row.

        Raises:
            ConstraintViolationError: The row violates another constraint.
            UnknownColumnError: The model has no such column.
        """
        columns = self._mapper.columns
        self._refuse_unknown([*on, *data], columns.keys())
        statement = insert(self.model).values(data)
        # Setting a key to itself makes RETURNING return the row.
        changed = [name for name in data if name not in on] or on[:1]
        names = [columns[name].name for name in changed]
        changes = {name: statement.excluded[name] for name in names}
        for column in columns:
            if column.onupdate is not None and column.key not in data:
                onupdate: Any = column.onupdate
                changes[column.name] = onupdate.arg
        statement = statement.on_conflict_do_update(
            index_elements=[columns[name] for name in on], set_=changes
        )
        return (await self._returning(statement))[0]

    @property
    def _mapper(self) -> Mapper[ModelT]:
        return sa.inspect(self.model)

    async def _scalars(self, query: Any) -> Sequence[ModelT]:
        # Joined rows of a collection repeat the row that has it.
        return (await self.session.scalars(query)).unique().all()

    def _first_or_raise(
        self, rows: Sequence[ModelT], where: Iterable[Where], equal: Iterable[str]
    ) -> ModelT:
        if not rows:
            reason = _describe(where, equal)
            raise NotFoundError(f"no {self.model.__name__} matches {reason}")
        return rows[0]

    def _not_found(self, id: Any) -> NotFoundError:
        return NotFoundError(f"{self.model.__name__} {id!r} does not exist")

    async def _returning(self, statement: Any) -> Sequence[ModelT]:
        query = statement.returning(self.model)
        with self._translating_integrity_errors():
            return await self._scalars(query.execution_options(populate_existing=True))

    def _select(
        self, where: Iterable[Where], equal: Mapping[str, Any]
    ) -> sa.Select[Any]:
        options = [each for each in where if isinstance(each, ORMOption)]
        conditions = self._conditions(where, equal)
        return sa.select(self.model).where(*conditions).options(*options)

    def _conditions(
        self, where: Iterable[Where], equal: Mapping[str, Any]
    ) -> list[Any]:
        self._refuse_unknown(equal, self._mapper.columns.keys())
        conditions: list[Any] = [
            each for each in where if not isinstance(each, ORMOption)
        ]
        for name, value in equal.items():
            column = getattr(self.model, name)
            if isinstance(value, str | bytes) or not isinstance(value, SEVERAL):
                conditions.append(column == value)
                continue
            values = [*value]
            known = [each for each in values if each is not None]
            any_of = column.in_(known)
            null = len(known) < len(values)
            conditions.append(sa.or_(any_of, column.is_(None)) if null else any_of)
        return conditions

    def _primary_key_filter(self, id: Any) -> list[sa.ColumnElement[bool]]:
        return [column == value for column, value in self._primary_key(id)]

    def _primary_key(self, id: Any) -> list[tuple[sa.ColumnElement[Any], Any]]:
        """Pair the columns of the key with values; drivers differ on impossible ones."""
        values = id if isinstance(id, tuple) else (id,)
        pairs = [*zip(self._mapper.primary_key, values, strict=True)]
        for column, value in pairs:
            if isinstance(column.type, sa.types.TypeDecorator):
                continue
            expected = column.type.python_type
            if not isinstance(value, expected):
                name = f"{self.model.__name__}.{column.key}"
                raise TypeError(f"{name} is {expected.__name__}, not {value!r}")
            if isinstance(value, int) and abs(value) > largest_integer(column.type):
                raise self._not_found(id)
        return pairs

    def _cursor(self, row: ModelT, keys: Iterable[sa.Column[Any]]) -> tuple[Any, ...]:
        names = (self._mapper.get_property_by_column(key).key for key in keys)
        return tuple(getattr(row, name) for name in names)

    def _refuse_unknown(self, names: Iterable[str], known: Iterable[str]) -> None:
        known = set(known)
        for name in names:
            if name not in known:
                raise UnknownColumnError(
                    f"{self.model.__name__} has no column {name!r};"
                    f" it has {', '.join(sorted(known))}"
                )

    @contextmanager
    def _translating_integrity_errors(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            name = constraint_name(error, self.model.metadata)
            message = f"{self.model.__name__} violates {name or 'a constraint'}"
            raise ConstraintViolationError(message, name) from error


@cache
def _bind(cls: Any, model: type[Any]) -> type[Any]:
    return type(f"{cls.__name__}[{model.__name__}]", (cls,), {"model": model})


def _describe(where: Iterable[Where], equal: Iterable[str]) -> str:
    """Name conditions for a message, without their values."""
    conditions = (str(each) for each in where if not isinstance(each, ORMOption))
    return ", ".join((*conditions, *equal)) or "anything"


def _converter(
    column: sa.Column[Any], dialect: sa.Dialect
) -> Callable[[Any], Any] | None:
    """Return the function that converts a value for the driver, if one is needed."""
    return column.type.dialect_impl(dialect).bind_processor(dialect)


def _default(column: sa.Column[Any], dialect: sa.Dialect) -> Callable[[], Any] | None:
    """Return the function that computes the column's Python default, if it has one.

    Raises:
        ValueError: The default is an SQL expression, which a row cannot carry.
    """
    default: Any = column.default
    if default is None:
        return None
    if not (default.is_scalar or default.is_callable):
        raise ValueError(f"{column} has a default in SQL: give each row its value")
    convert = _converter(column, dialect) or (lambda value: value)
    return lambda: convert(default.arg(None) if default.is_callable else default.arg)


def _values(
    rows: Iterator[Mapping[str, Any]],
    given: Mapping[str, Callable[[Any], Any] | None],
    defaults: Mapping[str, Callable[[], Any]],
) -> Iterator[tuple[Any, ...]]:
    """Yield the values of each row, converted a column at a time: faster than by row."""
    first = 1
    while chunk := list(islice(rows, CHUNK_ROWS)):
        for number, row in enumerate(chunk, first):
            if row.keys() != given.keys():
                raise UnknownColumnError(
                    f"row {number} has the columns {', '.join(row)},"
                    f" but the first {', '.join(given)}"
                )
        first += len(chunk)
        columns: list[Iterable[Any]] = []
        for name, convert in given.items():
            column = map(itemgetter(name), chunk)
            columns.append(map(convert, column) if convert else column)
        columns += [starmap(make, repeat((), len(chunk))) for make in defaults.values()]
        yield from zip(*columns, strict=True)
