"""Users over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from ...models import User
from ...repository import Repository
from .. import etags, problems, schemas
from ..dependencies import Reader, Session
from ..etags import IfMatch, IfNoneMatch
from ..pages import Page, Paging

router = APIRouter(prefix="/users", tags=["users"])

UserId = Annotated[schemas.Id, Path(examples=[7])]


@router.get("")
async def list_users(
    session: Reader,
    paging: Paging,
    email: Annotated[schemas.Email | None, Query()] = None,
    name: Annotated[schemas.Line | None, Query()] = None,
) -> Page[schemas.User]:
    """List the users in the order in which they came."""
    users = Repository[User](session)
    return await paging.page(users, schemas.User, email=email, name=name)


@router.post(
    "",
    status_code=201,
    responses={201: etags.CREATED, **problems.documented(409)},
)
async def create_user(
    session: Session, new: schemas.NewUser, request: Request, response: Response
) -> schemas.User:
    """Add a user; no two may have the same email address."""
    row = await Repository[User](session).create(**new.model_dump())
    user = schemas.User.model_validate(row)
    response.headers["Location"] = f"{request.scope['path']}/{user.id}"
    response.headers["ETag"] = etags.etag(user)
    return user


@router.get(
    "/{user_id}",
    response_model=schemas.User,
    responses={**etags.READ, **problems.documented(404)},
)
async def get_user(session: Reader, user_id: UserId, known: IfNoneMatch) -> Any:
    """Return one user."""
    row = await Repository[User](session).get(user_id)
    return known.answer(schemas.User.model_validate(row))


@router.patch(
    "/{user_id}",
    responses={200: etags.CHANGED, **problems.documented(404, 409, 412, 428)},
)
async def update_user(
    session: Session,
    user_id: UserId,
    seen: IfMatch,
    changes: schemas.UserChanges,
    response: Response,
) -> schemas.User:
    """Change a user, if it is still as the client has seen it."""
    await seen.check(session, User, user_id, schemas.User)
    given = changes.model_dump(exclude_unset=True)
    row = await Repository[User](session).update(user_id, **given)
    user = schemas.User.model_validate(row)
    response.headers["ETag"] = etags.etag(user)
    return user


@router.delete("/{user_id}", status_code=204, responses=problems.documented(404))
async def delete_user(session: Session, user_id: UserId) -> None:
    """Delete a user with all that is theirs."""
    await Repository[User](session).delete(user_id)
