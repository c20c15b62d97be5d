"""Routes of posts."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from ...db import Repository
from ...models import Post, PostStatus
from .. import etags
from ..dependencies import ReadSessionDep, SessionDep
from ..errors import responses
from ..etags import IfMatchDep, IfNoneMatchDep
from ..pagination import Page, PaginationDep
from ..schemas import Id, PostCreate, PostRead, PostUpdate

router = APIRouter(prefix="/posts", tags=["posts"])

Sort = Literal["id", "-id", "created_at", "-created_at", "title", "-title"]
PostId = Annotated[Id, Path(examples=[7])]


@router.get("")
async def list_posts(
    session: ReadSessionDep,
    pagination: PaginationDep,
    author_id: Annotated[Id | None, Query()] = None,
    status: PostStatus | None = None,
    sort: Annotated[Sort, Query(description="`-` sorts in descending order.")] = "id",
) -> Page[PostRead]:
    """List posts, of one author or of all."""
    posts = Repository[Post](session)
    return await pagination.page(
        posts, PostRead, sort=sort, author_id=author_id, status=status
    )


@router.post(
    "",
    status_code=201,
    responses={201: etags.CREATED, **responses(409)},
)
async def create_post(
    session: SessionDep, data: PostCreate, request: Request, response: Response
) -> PostRead:
    """Create a post; its author must exist."""
    row = await Repository[Post](session).create(**data.model_dump())
    post = PostRead.model_validate(row)
    response.headers["Location"] = f"{request.scope['path']}/{post.id}"
    response.headers["ETag"] = etags.etag(post)
    return post


@router.get(
    "/{post_id}",
    response_model=PostRead,
    responses={**etags.READ, **responses(404)},
)
async def get_post(
    session: ReadSessionDep, post_id: PostId, if_none_match: IfNoneMatchDep
) -> Any:
    """Return a post."""
    row = await Repository[Post](session).get(post_id)
    return if_none_match.respond(PostRead.model_validate(row))


@router.patch(
    "/{post_id}",
    responses={200: etags.UPDATED, **responses(404, 412, 428)},
)
async def update_post(
    session: SessionDep,
    post_id: PostId,
    if_match: IfMatchDep,
    data: PostUpdate,
    response: Response,
) -> PostRead:
    """Update a post, if the client has read its latest version."""
    await if_match.verify(session, Post, post_id, PostRead)
    changes = data.model_dump(exclude_unset=True)
    row = await Repository[Post](session).update(post_id, **changes)
    post = PostRead.model_validate(row)
    response.headers["ETag"] = etags.etag(post)
    return post


@router.delete("/{post_id}", status_code=204, responses=responses(404))
async def delete_post(session: SessionDep, post_id: PostId) -> None:
    """Delete a post."""
    await Repository[Post](session).delete(post_id)
