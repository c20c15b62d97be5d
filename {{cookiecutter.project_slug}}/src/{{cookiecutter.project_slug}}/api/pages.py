"""Lists in pages, each with the address of the next."""

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
from sqlalchemy.orm.interfaces import ORMOption
from sqlalchemy.types import TypeEngine

from ..models import Base
from ..repository import Model, Repository

Item = TypeVar("Item", bound=BaseModel)


class Page(BaseModel, Generic[Item]):
    """Some rows of many."""

    items: list[Item]
    next: str | None = Field(
        description="Where the next page is; nothing at the end.",
        examples=["/users?size=50&after=WyJpZCIsNTBd"],
    )


class _Paging:
    def __init__(self, request: Request, size: int, after: str | None) -> None:
        self.request = request
        self.size = min(size, request.app.state.settings.api_page_size)
        self.after = after

    async def page(
        self,
        repository: Repository[Model],
        schema: type[Item],
        *options: ORMOption,
        sort: str = "id",
        **filters: Any,
    ) -> Page[Item]:
        """Read the page.

        Args:
            repository: Where from.
            schema: What each row becomes.
            options: Loader options.
            sort: The name of a column that is never NULL, after "-" to begin with the
                highest.
            filters: What the rows must match; None matches any.
        """
        order_by = getattr(repository.model, sort.removeprefix("-"))
        page = await repository.page(
            *options,
            after=self._place(repository.model, sort),
            size=self.size,
            order_by=order_by,
            descending=sort.startswith("-"),
            **{name: value for name, value in filters.items() if value is not None},
        )
        found = {"items": page.items, "next": self._address(page.next, sort)}
        return Page[schema].model_validate(found)  # type: ignore[valid-type]

    def _place(self, model: type[Base], sort: str) -> list[Any] | None:
        return None if self.after is None else _decode(self.after, model, sort)

    def _address(self, place: Sequence[Any] | None, sort: str) -> str | None:
        if place is None:
            return None
        given = self.request.query_params.multi_items()
        query = [(name, value) for name, value in given if name != "after"]
        query.append(("after", _encode(place, sort)))
        return f"{quote(self.request.scope['path'])}?{urlencode(query)}"


# A coroutine, because FastAPI calls all else that one can depend on in a thread.
async def _paging(
    request: Request,
    size: Annotated[
        int,
        Query(ge=1, description="How many at most; the server has a limit, too."),
    ] = 50,
    after: Annotated[
        str | None, Query(description="Take it from `next`, as it is.")
    ] = None,
) -> _Paging:
    return _Paging(request, size, after)


Paging = Annotated[_Paging, Depends(_paging)]
"""Which page a request asks for: `await paging.page(repository, schema)` reads it."""


def _encode(place: Sequence[Any], sort: str) -> str:
    text = json.dumps([sort, *to_jsonable_python(place)])
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _decode(text: str, model: type[Base], sort: str) -> list[Any]:
    mapper = inspect(model)
    first = mapper.columns[sort.removeprefix("-")]
    keys = [first, *(key for key in mapper.primary_key if key is not first)]
    try:
        given = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(given, list) or given[:1] != [sort]:
            raise ValueError("of another list")
        return [
            _value(_kind(key.type), value)
            for key, value in zip(keys, given[1:], strict=True)
        ]
    except (ValueError, RecursionError):
        wrong = {"loc": ("query", "after"), "msg": "not from `next` of this list"}
        raise RequestValidationError([wrong]) from None


def _kind(column: TypeEngine[Any]) -> Any:
    plain = column.impl if isinstance(column, TypeDecorator) else column
    return plain.python_type


def _value(kind: Any, given: Any) -> Any:
    """Return a value as it was in the row; raise ValueError if it cannot have been."""
    value = _adapter(kind).validate_python(given)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("too large")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("no text of a database")
    if isinstance(value, datetime) and not 1 < value.year < 9999:
        raise ValueError("too long ago, or not yet")
    return value.replace(tzinfo=value.tzinfo or UTC) if kind is datetime else value


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
