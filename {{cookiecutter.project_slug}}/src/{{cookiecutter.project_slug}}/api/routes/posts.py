"""Posts over HTTP."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from ...models import Post, PostStatus
from ...repository import Repository
from .. import etags, problems, schemas
from ..dependencies import Reader, Session
from ..etags import IfMatch, IfNoneMatch
from ..pages import Page, Paging

router = APIRouter(prefix="/posts", tags=["posts"])

Sort = Literal["id", "-id", "created_at", "-created_at", "title", "-title"]
PostId = Annotated[schemas.Id, Path(examples=[7])]


@router.get("")
async def list_posts(
    session: Reader,
    paging: Paging,
    author_id: Annotated[schemas.Id | None, Query()] = None,
    status: PostStatus | None = None,
    sort: Annotated[Sort, Query(description="From the highest with a minus.")] = "id",
) -> Page[schemas.Post]:
    """List posts of everybody or of one author."""
    posts = Repository[Post](session)
    return await paging.page(
        posts, schemas.Post, sort=sort, author_id=author_id, status=status
    )


@router.post(
    "",
    status_code=201,
    responses={201: etags.CREATED, **problems.documented(409)},
)
async def create_post(
    session: Session, new: schemas.NewPost, request: Request, response: Response
) -> schemas.Post:
    """Add a post; its author must exist."""
    row = await Repository[Post](session).create(**new.model_dump())
    post = schemas.Post.model_validate(row)
    response.headers["Location"] = f"{request.scope['path']}/{post.id}"
    response.headers["ETag"] = etags.etag(post)
    return post


@router.get(
    "/{post_id}",
    response_model=schemas.Post,
    responses={**etags.READ, **problems.documented(404)},
)
async def get_post(session: Reader, post_id: PostId, known: IfNoneMatch) -> Any:
    """Return one post."""
    row = await Repository[Post](session).get(post_id)
    return known.answer(schemas.Post.model_validate(row))


@router.patch(
    "/{post_id}",
    responses={200: etags.CHANGED, **problems.documented(404, 412, 428)},
)
async def update_post(
    session: Session,
    post_id: PostId,
    seen: IfMatch,
    changes: schemas.PostChanges,
    response: Response,
) -> schemas.Post:
    """Change a post, if it is still as the client has seen it."""
    await seen.check(session, Post, post_id, schemas.Post)
    given = changes.model_dump(exclude_unset=True)
    row = await Repository[Post](session).update(post_id, **given)
    post = schemas.Post.model_validate(row)
    response.headers["ETag"] = etags.etag(post)
    return post


@router.delete("/{post_id}", status_code=204, responses=problems.documented(404))
async def delete_post(session: Session, post_id: PostId) -> None:
    """Delete a post."""
    await Repository[Post](session).delete(post_id)
