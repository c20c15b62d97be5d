"""Versions of what is served, so that nobody overwrites what they have not seen."""

from hashlib import blake2s
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, HTTPException, Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from ..repository import Model, NotFound

Content = TypeVar("Content", bound=BaseModel)

_ETAG: dict[str, Any] = {
    "description": "The version: send it as `If-Match` to change what it is of.",
    "schema": {"type": "string"},
    "example": '"8d3f0b9e2c5a7146"',
}
_LOCATION: dict[str, Any] = {
    "description": "Where it is.",
    "schema": {"type": "string", "format": "uri-reference"},
}

# How OpenAPI describes responses that carry a version.
CREATED: dict[str, Any] = {"headers": {"ETag": _ETAG, "Location": _LOCATION}}
CHANGED: dict[str, Any] = {"headers": {"ETag": _ETAG}}
READ: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"ETag": _ETAG}},
    304: {"description": "It has not changed", "headers": {"ETag": _ETAG}},
}


def etag(content: BaseModel) -> str:
    """Return the version of what is served: it changes when any part of it does."""
    text = content.model_dump_json().encode()
    return f'"{blake2s(text, digest_size=8).hexdigest()}"'


class _IfMatch:
    def __init__(self, given: str) -> None:
        self.given = _split(given)

    async def check(
        self, session: AsyncSession, model: type[Model], id: Any, schema: type[Content]
    ) -> None:
        """Lock a row until the transaction ends, if it is as the client has seen it.

        Args:
            session: In a transaction.
            model: Of the row.
            id: The primary key.
            schema: What the row is served as.

        Raises:
            HTTPException: 412 when it has changed since.
            NotFound: There is no such row.
        """
        row = await session.get(model, id, with_for_update=True)
        if row is None:
            raise NotFound(f"{model.__name__} {id!r} does not exist")
        if not self.given & {"*", etag(schema.model_validate(row))}:
            raise HTTPException(412, "it has changed since: read it again")


class _IfNoneMatch:
    def __init__(self, given: str, response: Response) -> None:
        self.given = _split(given)
        self.response = response

    def answer(self, content: Content) -> Content | Response:
        """Return the content, or a 304 when it is what the client has already."""
        version = etag(content)
        headers = {"ETag": version, "Cache-Control": "private, no-cache"}
        if self.given & {"*", version}:
            return Response(status_code=304, headers=headers)
        self.response.headers.update(headers)
        return content


# Coroutines, because FastAPI calls all else that one can depend on in a thread.
async def _if_match(
    if_match: Annotated[
        str,
        Header(
            description="The `ETag` of what is to be changed, or `*` for any.",
            examples=["*"],
        ),
    ],
) -> _IfMatch:
    return _IfMatch(if_match)


async def _if_none_match(
    response: Response,
    if_none_match: Annotated[
        str, Header(description="The `ETag` of what you have already.")
    ] = "",
) -> _IfNoneMatch:
    return _IfNoneMatch(if_none_match, response)


IfMatch = Annotated[_IfMatch, Depends(_if_match)]
"""What a client has seen of what it wants to change; 428 when it does not say."""

IfNoneMatch = Annotated[_IfNoneMatch, Depends(_if_none_match)]
"""What a client has already of what it wants to read."""


def _split(tags: str) -> set[str]:
    # A comma cannot be part of an ETag of ours. Proxies that compress make them weak.
    return {tag.strip().removeprefix("W/") for tag in tags.split(",")}
