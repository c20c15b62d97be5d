"""Keyset pagination: each page links to the next one."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, TypeAdapter
from pydantic_core import to_jsonable_python
from sqlalchemy import TypeDecorator, inspect
from sqlalchemy.types import TypeEngine

from ..db import Repository
from ..db.repository import ModelT, Where

Item = TypeVar("Item", bound=BaseModel)


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next: str | None = Field(
        description="URL of the next page, or null on the last one.",
        examples=["/users?size=50&after=WyJpZCIsNTBd"],
    )


class Pagination:
    """Page requested by the query parameters `size` and `after`."""

    def __init__(self, request: Request, size: int, after: str | None) -> None:
        """Limit the size to `API_PAGE_SIZE`."""
        self.request = request
        self.size = min(size, request.app.state.settings.api_page_size)
        self.after = after

    async def page(
        self,
        repository: Repository[ModelT],
        schema: type[Item],
        /,
        *where: Where,
        sort: str = "id",
        **equal: Any,
    ) -> Page[Item]:
        """Read the page.

        Args:
            repository: Repository to read from.
            schema: Schema of each item.
            where: SQLAlchemy expressions and loader options.
            sort: Column that is never NULL; a leading "-" sorts in descending order.
            equal: Values that columns must equal; None matches every row.
        """
        model = repository.model
        page = await repository.page(
            *where,
            *_equals(model, equal),
            after=None if self.after is None else _decode(self.after, model, sort),
            size=self.size,
            order_by=getattr(model, sort.removeprefix("-")),
            descending=sort.startswith("-"),
        )
        content = {"items": page.items, "next": self._next_url(page.next, sort)}
        return Page[schema].model_validate(content)  # type: ignore[valid-type]

    def _next_url(self, cursor: Sequence[Any] | None, sort: str) -> str | None:
        if cursor is None:
            return None
        given = self.request.query_params.multi_items()
        query = [(name, value) for name, value in given if name != "after"]
        query.append(("after", _encode(cursor, sort)))
        return f"{quote(self.request.scope['path'])}?{urlencode(query)}"


# A coroutine, because FastAPI runs plain functions in a thread.
async def _pagination(
    request: Request,
    size: Annotated[
        int, Query(ge=1, description="Items per page; the server may return fewer.")
    ] = 50,
    after: Annotated[
        str | None, Query(description="Cursor, set in the `next` URL of a page.")
    ] = None,
) -> Pagination:
    return Pagination(request, size, after)


PaginationDep = Annotated[Pagination, Depends(_pagination)]
"""Requested page; `await pagination.page(repository, schema)` reads it."""


def _equals(model: type[Any], equal: dict[str, Any]) -> list[Any]:
    return [
        getattr(model, name) == value
        for name, value in equal.items()
        if value is not None
    ]


def _encode(cursor: Sequence[Any], sort: str) -> str:
    """Encode a cursor with its sort order, so no other list accepts it."""
    text = json.dumps([sort, *to_jsonable_python(cursor)])
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _decode(text: str, model: type[Any], sort: str) -> list[Any]:
    mapper = inspect(model)
    first = mapper.columns[sort.removeprefix("-")]
    keys = [first, *(key for key in mapper.primary_key if key is not first)]
    try:
        given = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(given, list) or given[:1] != [sort]:
            raise ValueError("cursor of another list")
        return [
            _column_value(_python_type(key.type), value)
            for key, value in zip(keys, given[1:], strict=True)
        ]
    except (ValueError, RecursionError):
        error = {"loc": ("query", "after"), "msg": "Input is not a cursor of this list"}
        raise RequestValidationError([error]) from None


def _python_type(column_type: TypeEngine[Any]) -> Any:
    if isinstance(column_type, TypeDecorator):
        return column_type.impl_instance.python_type
    return column_type.python_type


def _column_value(python_type: Any, given: Any) -> Any:
    """Convert a JSON value to a column value; raise ValueError if no row can have it."""
    value = _adapter(python_type).validate_python(given)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("integer out of range")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("NUL character")
    if isinstance(value, datetime):
        if not 1 < value.year < 9999:
            raise ValueError("year out of range")
        return value.replace(tzinfo=value.tzinfo or UTC)
    return value


@cache
def _adapter(python_type: Any) -> TypeAdapter[Any]:
    return TypeAdapter(python_type)
