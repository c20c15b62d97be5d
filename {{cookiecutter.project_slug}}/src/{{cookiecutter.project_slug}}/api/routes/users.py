"""Routes of users."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from ...db import Repository
from ...models import User
from .. import etags
from ..dependencies import ReadSessionDep, SessionDep
from ..errors import responses
from ..etags import IfMatchDep, IfNoneMatchDep
from ..pagination import Page, PaginationDep
from ..schemas import Email, Id, ShortText, UserCreate, UserRead, UserUpdate

router = APIRouter(prefix="/users", tags=["users"])

UserId = Annotated[Id, Path(examples=[7])]


@router.get("")
async def list_users(
    session: ReadSessionDep,
    pagination: PaginationDep,
    email: Annotated[Email | None, Query()] = None,
    name: Annotated[ShortText | None, Query()] = None,
) -> Page[UserRead]:
    """List users, oldest first."""
    users = Repository[User](session)
    return await pagination.page(users, UserRead, email=email, name=name)


@router.post(
    "",
    status_code=201,
    responses={201: etags.CREATED, **responses(409)},
)
async def create_user(
    session: SessionDep, data: UserCreate, request: Request, response: Response
) -> UserRead:
    """Create a user; the email must be unique."""
    row = await Repository[User](session).create(**data.model_dump())
    user = UserRead.model_validate(row)
    response.headers["Location"] = f"{request.scope['path']}/{user.id}"
    response.headers["ETag"] = etags.etag(user)
    return user


@router.get(
    "/{user_id}",
    response_model=UserRead,
    responses={**etags.READ, **responses(404)},
)
async def get_user(
    session: ReadSessionDep, user_id: UserId, if_none_match: IfNoneMatchDep
) -> Any:
    """Return a user."""
    row = await Repository[User](session).get(user_id)
    return if_none_match.respond(UserRead.model_validate(row))


@router.patch(
    "/{user_id}",
    responses={200: etags.UPDATED, **responses(404, 409, 412, 428)},
)
async def update_user(
    session: SessionDep,
    user_id: UserId,
    if_match: IfMatchDep,
    data: UserUpdate,
    response: Response,
) -> UserRead:
    """Update a user, if the client has read its latest version."""
    await if_match.verify(session, User, user_id, UserRead)
    changes = data.model_dump(exclude_unset=True)
    row = await Repository[User](session).update(user_id, **changes)
    user = UserRead.model_validate(row)
    response.headers["ETag"] = etags.etag(user)
    return user


@router.delete("/{user_id}", status_code=204, responses=responses(404))
async def delete_user(session: SessionDep, user_id: UserId) -> None:
    """Delete a user with their profile and posts."""
    await Repository[User](session).delete(user_id)
