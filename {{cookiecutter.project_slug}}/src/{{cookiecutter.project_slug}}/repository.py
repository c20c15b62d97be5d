"""The queries that every model needs; the caller owns the transaction."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice, repeat, starmap
from operator import itemgetter
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, Mapper
from sqlalchemy.orm.interfaces import ORMOption

from . import dialect
from .models import Base

Model = TypeVar("Model", bound=Base)


class RepositoryError(Exception):
    """The base of what a repository raises."""


class NotFound(RepositoryError):
    """There is no such row."""


class NotUnique(RepositoryError):
    """There are several such rows where one was expected."""


class UnknownColumn(RepositoryError):
    """The model has no such column."""


class Conflict(RepositoryError):
    """A row breaks a constraint of the database.

    Attributes:
        constraint: The constraint's name, or None where the database does not tell.
    """

    def __init__(self, message: str, constraint: str | None) -> None:
        """Keep the constraint's name beside the message."""
        super().__init__(message)
        self.constraint = constraint


@dataclass(frozen=True)
class Page(Generic[Model]):
    """Some rows of many, and where to go on.

    Attributes:
        items: The rows.
        next: What to pass as `after` for the page that follows, or None at the end.
        previous: What to pass as `before` for the page that precedes, or None.
    """

    items: Sequence[Model]
    next: tuple[Any, ...] | None
    previous: tuple[Any, ...] | None


class Repository(Generic[Model]):
    """Reads and writes the rows of one model: `Repository[User](session)`.

    It never commits and never swallows an error. In filters a value means equality,
    None means NULL, and a list means any of its values. Loader options, such as
    `selectinload(User.posts)`, go first.
    """

    model: type[Model]

    def __class_getitem__(cls, model: Any) -> Any:
        """Return this repository for a model."""
        if isinstance(model, TypeVar):
            return super().__class_getitem__(model)  # type: ignore[misc]
        this: Any = cls
        return _bind(this, model)

    def __init__(self, session: AsyncSession) -> None:
        """Work in the caller's session and so in the caller's transaction."""
        self.session = session

    async def get(self, id: Any, *options: ORMOption) -> Model:
        """Return the row with this primary key; a composite key is a tuple.

        Raises:
            NotFound: There is none.
        """
        row = await self.session.get(self.model, id, options=options)
        if row is None:
            raise NotFound(f"{self.model.__name__} {id!r} does not exist")
        return row

    async def get_one(self, *options: ORMOption, **filters: Any) -> Model:
        """Return the only row that matches.

        Raises:
            NotFound: There is none.
            NotUnique: There are several.
        """
        rows = await self._some(self._select(filters, options).limit(2), filters)
        if len(rows) > 1:
            raise NotUnique(f"several {self.model.__name__} rows match {list(filters)}")
        return rows[0]

    async def get_last(self, *options: ORMOption, **filters: Any) -> Model:
        """Return the matching row with the highest primary key.

        Raises:
            NotFound: There is none.
        """
        newest_first = [column.desc() for column in self._mapper.primary_key]
        query = self._select(filters, options).order_by(*newest_first)
        return (await self._some(query.limit(1), filters))[0]

    async def get_all(self, *options: ORMOption, **filters: Any) -> Sequence[Model]:
        """Return all rows that match, in the order of their primary key."""
        query = self._select(filters, options)
        return await self._rows(query.order_by(*self._mapper.primary_key))

    async def count(self, **filters: Any) -> int:
        """Return how many rows match."""
        query = sa.select(sa.func.count()).select_from(self.model)
        return await self.session.scalar(query.where(*self._where(filters))) or 0

    async def exists(self, **filters: Any) -> bool:
        """Return whether a row matches."""
        found = sa.exists().where(*self._where(filters)).select_from(self.model)
        return bool(await self.session.scalar(sa.select(found)))

    async def page(
        self,
        *options: ORMOption,
        after: Sequence[Any] | None = None,
        before: Sequence[Any] | None = None,
        size: int = 50,
        order_by: InstrumentedAttribute[Any] | None = None,
        descending: bool = False,
        **filters: Any,
    ) -> Page[Model]:
        """Return a page by keyset: its cost and its rows do not depend on an offset.

        Args:
            options: Loader options.
            after: The `next` of the page before; None for the first page.
            before: The `previous` of the page after, to go back.
            size: How many rows at most.
            order_by: A column that is never NULL; the primary key breaks ties.
            descending: Whether to begin with the highest.
            filters: What the rows must match; the same on each page.

        Raises:
            ValueError: The column may be NULL, or the size is below one.
        """
        if size < 1:
            raise ValueError(f"a page has at least one row, not {size}")
        keys: list[Any] = list(self._mapper.primary_key)
        if order_by is not None:
            first = self._mapper.columns[order_by.key]
            if first.nullable:
                raise ValueError(f"{order_by} may be NULL, which has no place in order")
            keys = [first, *(key for key in keys if key is not first)]
        backwards = before is not None
        falling = descending != backwards
        query = self._select(filters, options)
        if (bound := before if backwards else after) is not None:
            values = [sa.literal(v, k.type) for v, k in zip(bound, keys, strict=True)]
            position, limit = sa.tuple_(*keys), sa.tuple_(*values)
            query = query.where(position < limit if falling else position > limit)
        query = query.order_by(*(key.desc() if falling else key.asc() for key in keys))
        rows = await self._rows(query.limit(size + 1))
        more = len(rows) > size
        rows = list(reversed(rows[:size])) if backwards else rows[:size]
        has_previous = more if backwards else after is not None
        return Page(
            items=rows,
            next=self._cursor(rows[-1], keys) if rows and (more or backwards) else None,
            previous=self._cursor(rows[0], keys) if rows and has_previous else None,
        )

    async def create(self, **data: Any) -> Model:
        """Insert a row and return it with what the database filled in.

        Raises:
            Conflict: The row breaks a constraint.
        """
        self._refuse_unknown(data, self._mapper.attrs.keys())
        row = self.model(**data)
        self.session.add(row)
        with self._naming_conflicts():
            await self.session.flush()
        return row

    async def update(self, id: Any, **data: Any) -> Model:
        """Change columns of the row with this primary key, in one statement.

        Raises:
            Conflict: The row would break a constraint.
            NotFound: There is no such row.
        """
        self._refuse_unknown(data, self._mapper.columns.keys())
        if not data:
            return await self.get(id)
        statement = sa.update(self.model).where(*self._has_id(id)).values(data)
        rows = await self._write(statement)
        if not rows:
            raise NotFound(f"{self.model.__name__} {id!r} does not exist")
        return rows[0]

    async def delete(self, id: Any) -> None:
        """Delete the row with this primary key; what refers to it follows its rules.

        Raises:
            Conflict: Another row refers to it and forbids that.
            NotFound: There is no such row.
        """
        statement = sa.delete(self.model).where(*self._has_id(id))
        with self._naming_conflicts():
            result: Any = await self.session.execute(statement)
        if not result.rowcount:
            raise NotFound(f"{self.model.__name__} {id!r} does not exist")

    async def create_many(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Insert many rows in the fastest way the database has; return how many.

        The rows are read as they are needed, so a generator of millions takes no
        memory. All have the columns of the first; defaults are filled in.

        Raises:
            Conflict: A row breaks a constraint; none of the rows is stored.
            UnknownColumn: A row has other columns than the first; none is stored.
        """
        remaining = iter(rows)
        first = next(remaining, None)
        if first is None:
            return 0
        columns = self._mapper.columns
        self._refuse_unknown(first, columns.keys())
        engine_dialect = self.session.get_bind().dialect
        given = {name: _converter(columns[name], engine_dialect) for name in first}
        made = {
            name: default
            for name, column in columns.items()
            if name not in first and (default := _default(column, engine_dialect))
        }
        table: Any = self._mapper.local_table
        names = [columns[name].name for name in (*given, *made)]
        values = _values(chain([first], remaining), given, made)
        # The savepoint takes back what was stored before the row that breaks it.
        with self._naming_conflicts():
            async with self.session.begin_nested():
                return await dialect.insert_many(self.session, table, names, values)

    async def upsert(self, on: Sequence[str], **data: Any) -> Model:
        """Insert a row, or change the one that has the same values in `on`.

        Args:
            on: The columns of a unique constraint or of the primary key.
            data: The whole row.

        Raises:
            Conflict: The row breaks another constraint.
        """
        columns = self._mapper.columns
        self._refuse_unknown([*on, *data], columns.keys())
        statement = dialect.insert(self.model).values(data)
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
        return (await self._write(statement))[0]

    @property
    def _mapper(self) -> Mapper[Model]:
        return sa.inspect(self.model)

    async def _rows(self, query: Any) -> Sequence[Model]:
        return (await self.session.scalars(query)).all()

    async def _some(self, query: Any, filters: Iterable[str]) -> Sequence[Model]:
        if rows := await self._rows(query):
            return rows
        raise NotFound(f"no {self.model.__name__} matches {list(filters)}")

    async def _write(self, statement: Any) -> Sequence[Model]:
        query = statement.returning(self.model)
        with self._naming_conflicts():
            return await self._rows(query.execution_options(populate_existing=True))

    def _select(
        self, filters: Mapping[str, Any], options: Sequence[ORMOption]
    ) -> sa.Select[Any]:
        return sa.select(self.model).where(*self._where(filters)).options(*options)

    def _where(self, filters: Mapping[str, Any]) -> list[sa.ColumnElement[bool]]:
        self._refuse_unknown(filters, self._mapper.columns.keys())
        where = []
        for name, value in filters.items():
            column = getattr(self.model, name)
            several = isinstance(value, (list, tuple, set))
            where.append(column.in_(value) if several else column == value)
        return where

    def _has_id(self, id: Any) -> list[sa.ColumnElement[bool]]:
        values = id if isinstance(id, tuple) else (id,)
        keys = self._mapper.primary_key
        return [key == value for key, value in zip(keys, values, strict=True)]

    def _cursor(self, row: Model, keys: Iterable[sa.Column[Any]]) -> tuple[Any, ...]:
        names = (self._mapper.get_property_by_column(key).key for key in keys)
        return tuple(getattr(row, name) for name in names)

    def _refuse_unknown(self, names: Iterable[str], known: Iterable[str]) -> None:
        known = set(known)
        for name in names:
            if name not in known:
                raise UnknownColumn(
                    f"{self.model.__name__} has no column {name!r};"
                    f" it has {', '.join(sorted(known))}"
                )

    @contextmanager
    def _naming_conflicts(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            name = dialect.constraint_name(error, self.model.metadata)
            message = f"{self.model.__name__}: {name or 'a constraint'} is broken"
            raise Conflict(message, name) from error


@cache
def _bind(cls: Any, model: type[Any]) -> type[Any]:
    return type(f"{cls.__name__}[{model.__name__}]", (cls,), {"model": model})


def _converter(
    column: sa.Column[Any], engine_dialect: sa.Dialect
) -> Callable[[Any], Any] | None:
    """Return what turns a value of the column into what the driver takes, if needed."""
    return column.type.dialect_impl(engine_dialect).bind_processor(engine_dialect)


def _default(
    column: sa.Column[Any], engine_dialect: sa.Dialect
) -> Callable[[], Any] | None:
    """Return what makes the column's Python default, if it has one.

    Raises:
        ValueError: The default is an SQL expression, which a row cannot carry.
    """
    default: Any = column.default
    if default is None:
        return None
    if not (default.is_scalar or default.is_callable):
        raise ValueError(f"{column} has a default in SQL: give each row its value")
    convert = _converter(column, engine_dialect) or (lambda value: value)
    return lambda: convert(default.arg(None) if default.is_callable else default.arg)


def _values(
    rows: Iterator[Mapping[str, Any]],
    given: Mapping[str, Callable[[Any], Any] | None],
    made: Mapping[str, Callable[[], Any]],
) -> Iterator[tuple[Any, ...]]:
    """Yield the values of each row: a column at a time, so that no row costs a loop."""
    first = 1
    while chunk := list(islice(rows, 1000)):
        for number, row in enumerate(chunk, first):
            if row.keys() != given.keys():
                raise UnknownColumn(
                    f"row {number} has the columns {', '.join(row)},"
                    f" but the first {', '.join(given)}"
                )
        first += len(chunk)
        columns: list[Iterable[Any]] = []
        for name, convert in given.items():
            column = map(itemgetter(name), chunk)
            columns.append(map(convert, column) if convert else column)
        columns += [starmap(make, repeat((), len(chunk))) for make in made.values()]
        yield from zip(*columns, strict=True)
