"""Routes of tags."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from ...db import Repository
from ...models import Tag
from .. import etags
from ..dependencies import ReadSessionDep, SessionDep
from ..errors import responses
from ..etags import IfNoneMatchDep
from ..pagination import Page, PaginationDep
from ..schemas import Id, ShortText, TagCreate, TagRead

router = APIRouter(prefix="/tags", tags=["tags"])

TagId = Annotated[Id, Path(examples=[7])]


@router.get("")
async def list_tags(
    session: ReadSessionDep,
    pagination: PaginationDep,
    name: Annotated[ShortText | None, Query()] = None,
) -> Page[TagRead]:
    """List tags, oldest first."""
    tags = Repository[Tag](session)
    return await pagination.page(tags, TagRead, name=name)


@router.post(
    "",
    status_code=201,
    responses={201: etags.CREATED, **responses(409)},
)
async def create_tag(
    session: SessionDep, data: TagCreate, request: Request, response: Response
) -> TagRead:
    """Create a tag; the name must be unique."""
    row = await Repository[Tag](session).create(**data.model_dump())
    tag = TagRead.model_validate(row)
    response.headers["Location"] = f"{request.scope['path']}/{tag.id}"
    response.headers["ETag"] = etags.etag(tag)
    return tag


@router.get(
    "/{tag_id}",
    response_model=TagRead,
    responses={**etags.READ, **responses(404)},
)
async def get_tag(
    session: ReadSessionDep, tag_id: TagId, if_none_match: IfNoneMatchDep
) -> Any:
    """Return a tag."""
    row = await Repository[Tag](session).get(tag_id)
    return if_none_match.respond(TagRead.model_validate(row))


@router.delete("/{tag_id}", status_code=204, responses=responses(404))
async def delete_tag(session: SessionDep, tag_id: TagId) -> None:
    """Delete a tag; its users are kept."""
    await Repository[Tag](session).delete(tag_id)
