"""Tags over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from ...models import Tag
from ...repository import Repository
from .. import etags, problems, schemas
from ..dependencies import Reader, Session
from ..etags import IfNoneMatch
from ..pages import Page, Paging

router = APIRouter(prefix="/tags", tags=["tags"])

TagId = Annotated[schemas.Id, Path(examples=[7])]


@router.get("")
async def list_tags(
    session: Reader,
    paging: Paging,
    name: Annotated[schemas.Line | None, Query()] = None,
) -> Page[schemas.Tag]:
    """List the tags in the order in which they came."""
    tags = Repository[Tag](session)
    return await paging.page(tags, schemas.Tag, name=name)


@router.post(
    "",
    status_code=201,
    responses={201: etags.CREATED, **problems.documented(409)},
)
async def create_tag(
    session: Session, new: schemas.NewTag, request: Request, response: Response
) -> schemas.Tag:
    """Add a tag; no two may have the same name."""
    row = await Repository[Tag](session).create(**new.model_dump())
    tag = schemas.Tag.model_validate(row)
    response.headers["Location"] = f"{request.scope['path']}/{tag.id}"
    response.headers["ETag"] = etags.etag(tag)
    return tag


@router.get(
    "/{tag_id}",
    response_model=schemas.Tag,
    responses={**etags.READ, **problems.documented(404)},
)
async def get_tag(session: Reader, tag_id: TagId, known: IfNoneMatch) -> Any:
    """Return one tag."""
    row = await Repository[Tag](session).get(tag_id)
    return known.answer(schemas.Tag.model_validate(row))


@router.delete("/{tag_id}", status_code=204, responses=problems.documented(404))
async def delete_tag(session: Session, tag_id: TagId) -> None:
    """Delete a tag; its users stay."""
    await Repository[Tag](session).delete(tag_id)
