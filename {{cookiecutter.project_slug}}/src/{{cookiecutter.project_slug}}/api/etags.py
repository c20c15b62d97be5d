"""ETags: conditional reads, and updates that detect lost updates."""

from hashlib import blake2s
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, HTTPException, Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from ..db import NotFoundError

Content = TypeVar("Content", bound=BaseModel)

_ETAG: dict[str, Any] = {
    "description": "Version of the resource; send it as `If-Match` to update it.",
    "schema": {"type": "string"},
    "example": '"8d3f0b9e2c5a7146"',
}
_LOCATION: dict[str, Any] = {
    "description": "URL of the new resource.",
    "schema": {"type": "string", "format": "uri-reference"},
}

# OpenAPI descriptions of responses that carry an ETag.
CREATED: dict[str, Any] = {"headers": {"ETag": _ETAG, "Location": _LOCATION}}
UPDATED: dict[str, Any] = {"headers": {"ETag": _ETAG}}
READ: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"ETag": _ETAG}},
    304: {"description": "Not modified", "headers": {"ETag": _ETAG}},
}


def etag(content: BaseModel) -> str:
    """Return the ETag of a response body, a hash of all its fields."""
    text = content.model_dump_json().encode()
    return f'"{blake2s(text, digest_size=8).hexdigest()}"'


class IfMatch:
    """Header `If-Match`: the versions that an update applies to."""

    def __init__(self, header: str) -> None:
        """Parse the header."""
        self.etags = _parse(header)

    async def verify(
        self, session: AsyncSession, model: type[Any], id: Any, schema: type[BaseModel]
    ) -> None:
        """Lock a row until the transaction ends, and compare its ETag with the header.

        Args:
            session: Session in a transaction.
            model: Model of the row.
            id: Primary key of the row.
            schema: Schema that the row is served as.

        Raises:
            HTTPException: 412 if the row has changed since the client read it.
            NotFoundError: No row has this primary key.
        """
        row = await session.get(model, id, with_for_update=True)
        if row is None:
            raise NotFoundError(f"{model.__name__} {id!r} does not exist")
        if not self.etags & {"*", etag(schema.model_validate(row))}:
            raise HTTPException(
                412, "The resource has changed since you read it. Read it again."
            )


class IfNoneMatch:
    """Header `If-None-Match`: the versions that the client has cached."""

    def __init__(self, header: str, response: Response) -> None:
        """Parse the header."""
        self.etags = _parse(header)
        self.response = response

    def respond(self, content: Content) -> Content | Response:
        """Return the content with its ETag, or 304 if the client has this version."""
        version = etag(content)
        headers = {"ETag": version, "Cache-Control": "private, no-cache"}
        if self.etags & {"*", version}:
            return Response(status_code=304, headers=headers)
        self.response.headers.update(headers)
        return content


# Coroutines, because FastAPI runs plain functions in a thread.
async def _if_match(
    if_match: Annotated[
        str,
        Header(
            description="`ETag` of the version to update, or `*` for any.",
            examples=["*"],
        ),
    ],
) -> IfMatch:
    return IfMatch(if_match)


async def _if_none_match(
    response: Response,
    if_none_match: Annotated[
        str, Header(description="`ETag` of the version that you have.")
    ] = "",
) -> IfNoneMatch:
    return IfNoneMatch(if_none_match, response)


IfMatchDep = Annotated[IfMatch, Depends(_if_match)]
"""Required `If-Match` header; a request without it gets 428."""

IfNoneMatchDep = Annotated[IfNoneMatch, Depends(_if_none_match)]
"""Optional `If-None-Match` header."""


def _parse(header: str) -> set[str]:
    # Our ETags contain no comma. Proxies that compress a response make them weak (W/).
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}
