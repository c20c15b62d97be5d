"""Errors as problem documents, which say what went wrong: RFC 9457."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DBAPIError, IntegrityError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from .. import dialect
from ..database import CommitOutcomeUnknown, PoolExhausted
from ..models import Base
from ..repository import Conflict, NotFound, NotUnique, UnknownColumn
from . import checks

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Mistake(BaseModel):
    """A part of the request that is not as it has to be."""

    where: str = Field(examples=["query.size"])
    detail: str = Field(examples=["Input should be greater than or equal to 1"])


class Problem(BaseModel):
    """Why a request was not answered as it asked."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(default="about:blank", examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str | None = Field(default=None, examples=["User 7 does not exist"])
    constraint: str | None = Field(
        default=None,
        description="The constraint of the database that a conflict is with.",
        examples=["uq_users_email"],
    )
    errors: list[Mistake] | None = Field(
        default=None, description="What is wrong with the request, part by part."
    )


def answer(
    status: int,
    detail: str | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """Make the response for a problem.

    Args:
        status: Of HTTP.
        detail: One sentence for whoever sent the request; no secret in it.
        headers: More headers.
        more: Other fields of `Problem`.
    """
    title = HTTPStatus(status).phrase
    problem = Problem(title=title, status=status, detail=detail, **more)
    content = problem.model_dump_json(exclude_none=True)
    given = dict(headers or {})
    return Response(content, status, given, MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems of a route for OpenAPI: `responses=documented(404)`."""
    return {status: description(HTTPStatus(status).phrase) for status in statuses}


def description(text: str) -> dict[str, Any]:
    """Describe a response that is a problem document."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}


def install(app: FastAPI) -> None:
    """Let the application answer its errors with problem documents."""
    handlers: dict[type[Exception], Any] = {
        HTTPException: _http_exception,
        RequestValidationError: _invalid,
        NotFound: _not_found,
        NotUnique: _not_unique,
        UnknownColumn: _unknown_column,
        Conflict: _conflict,
        PoolExhausted: _overloaded,
        CommitOutcomeUnknown: _outcome_unknown,
        DBAPIError: _database_error,
        OSError: _system_error,
    }
    for error, handler in handlers.items():
        app.add_exception_handler(error, handler)


async def _http_exception(request: Request, error: HTTPException) -> Response:
    headers = {**(error.headers or {})}
    if error.status_code == 405:
        # Starlette names the methods of one route; a path may have several.
        headers["Allow"] = ", ".join(_methods(request))
    # Starlette repeats the title where it has nothing to say.
    said = error.detail != HTTPStatus(error.status_code).phrase
    return answer(error.status_code, error.detail if said else None, headers)


def _methods(request: Request) -> list[str]:
    return [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] == Match.FULL
    ]


async def _invalid(_: Request, error: RequestValidationError) -> Response:
    if [each["loc"] for each in error.errors()] == [("header", "if-match")]:
        return answer(428, "send the ETag of what you have seen as If-Match")
    mistakes = [
        Mistake(where=".".join(map(str, each["loc"])), detail=each["msg"])
        for each in error.errors()
    ]
    return answer(422, "the request is not as it has to be", errors=mistakes)


async def _not_found(_: Request, error: NotFound) -> Response:
    return answer(404, str(error))


async def _not_unique(_: Request, error: NotUnique) -> Response:
    return answer(409, str(error))


async def _unknown_column(_: Request, error: UnknownColumn) -> Response:
    return answer(422, str(error))


async def _conflict(_: Request, error: Conflict) -> Response:
    return answer(409, str(error), constraint=error.constraint)


async def _overloaded(_: Request, error: PoolExhausted) -> Response:
    logger.warning("%s", error)
    return answer(503, "too much is going on: try again", {"Retry-After": "1"})


async def _outcome_unknown(_: Request, error: CommitOutcomeUnknown) -> Response:
    logger.error("%s", error, exc_info=error)
    return answer(
        500,
        "the database went away while it stored this: look whether it did before"
        " you send it again",
    )


async def _database_error(request: Request, error: DBAPIError) -> Response:
    if isinstance(error, IntegrityError):
        # Of a constraint that is checked at COMMIT; a repository names the others.
        name = dialect.constraint_name(error, Base.metadata)
        return answer(409, f"{name or 'a constraint'} is broken", constraint=name)
    if dialect.is_retryable(error):
        logger.warning("%s", error.orig)
        return answer(503, "the database was busy: try again", {"Retry-After": "1"})
    # It logs what is wrong, and what mends it.
    if await checks.run({"migrations": request.app.state.checks["migrations"]}):
        return answer(503, "the database is not at the revision of this code")
    raise error


async def _system_error(_: Request, error: OSError) -> Response:
    if error.filename is not None:
        raise error
    # Not of a file, so of the network.
    logger.error("%s", error)
    return answer(503, "the database does not answer", {"Retry-After": "5"})
