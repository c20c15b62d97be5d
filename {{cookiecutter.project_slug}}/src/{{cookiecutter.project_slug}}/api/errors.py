"""Exception handlers that respond with problem documents (RFC 9457)."""

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

from ..db import (
    Base,
    CommitOutcomeUnknownError,
    ConstraintViolationError,
    MultipleResultsError,
    NotFoundError,
    PoolTimeoutError,
    UnknownColumnError,
)
from ..db.errors import constraint_name, describe_error, is_retryable
from ..health import run_checks

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class ErrorDetail(BaseModel):
    """One invalid part of a request."""

    location: str = Field(examples=["query.size"])
    detail: str = Field(examples=["Input should be greater than or equal to 1"])


class Problem(BaseModel):
    """Problem document: the reason a request failed."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(default="about:blank", examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str | None = Field(default=None, examples=["User 7 does not exist"])
    constraint: str | None = Field(
        default=None,
        description="Name of the violated database constraint, if known.",
        examples=["uq_users_email"],
    )
    errors: list[ErrorDetail] | None = Field(
        default=None, description="Invalid parts of the request."
    )


def problem_response(
    status: int,
    detail: str | None = None,
    headers: Mapping[str, str] | None = None,
    **fields: Any,
) -> Response:
    """Create a response with a problem document.

    Args:
        status: HTTP status code.
        detail: One sentence for the client, without secrets.
        headers: Additional headers.
        fields: Additional fields of `Problem`.
    """
    title = HTTPStatus(status).phrase
    problem = Problem(title=title, status=status, detail=detail, **fields)
    content = problem.model_dump_json(exclude_none=True)
    return Response(content, status, dict(headers or {}), MEDIA_TYPE)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the errors of a route: `@router.get(..., responses=responses(404))`."""
    return {status: response_schema(HTTPStatus(status).phrase) for status in statuses}


def response_schema(description: str) -> dict[str, Any]:
    """Document one response that has a problem document."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def add_exception_handlers(app: FastAPI) -> None:
    """Add the exception handlers of this module to an application."""
    handlers: dict[type[Exception], Any] = {
        HTTPException: _http_exception,
        RequestValidationError: _validation_error,
        NotFoundError: _not_found,
        MultipleResultsError: _multiple_results,
        UnknownColumnError: _unknown_column,
        ConstraintViolationError: _constraint_violation,
        PoolTimeoutError: _pool_timeout,
        CommitOutcomeUnknownError: _commit_outcome_unknown,
        DBAPIError: _database_error,
        OSError: _os_error,
    }
    for error, handler in handlers.items():
        app.add_exception_handler(error, handler)


async def _http_exception(request: Request, error: HTTPException) -> Response:
    headers = {**(error.headers or {})}
    if error.status_code == 405:
        # Starlette lists the methods of one route; a path may have several routes.
        headers["Allow"] = ", ".join(_allowed_methods(request))
    # Starlette's default detail repeats the title.
    is_default = error.detail == HTTPStatus(error.status_code).phrase
    detail = None if is_default else error.detail
    return problem_response(error.status_code, detail, headers)


def _allowed_methods(request: Request) -> list[str]:
    return [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] == Match.FULL
    ]


async def _validation_error(_: Request, error: RequestValidationError) -> Response:
    if [each["loc"] for each in error.errors()] == [("header", "if-match")]:
        return problem_response(
            428, "Send the ETag of the version you read as If-Match."
        )
    details = [
        ErrorDetail(location=".".join(map(str, each["loc"])), detail=each["msg"])
        for each in error.errors()
    ]
    return problem_response(422, "The request is invalid.", errors=details)


async def _not_found(_: Request, error: NotFoundError) -> Response:
    return problem_response(404, str(error))


async def _multiple_results(_: Request, error: MultipleResultsError) -> Response:
    return problem_response(409, str(error))


async def _unknown_column(_: Request, error: UnknownColumnError) -> Response:
    return problem_response(422, str(error))


async def _constraint_violation(
    _: Request, error: ConstraintViolationError
) -> Response:
    return problem_response(409, str(error), constraint=error.constraint)


async def _pool_timeout(_: Request, error: PoolTimeoutError) -> Response:
    logger.warning("%s", error)
    return problem_response(
        503, "The server is overloaded. Retry later.", {"Retry-After": "1"}
    )


async def _commit_outcome_unknown(
    _: Request, error: CommitOutcomeUnknownError
) -> Response:
    logger.error("%s", error, exc_info=error)
    return problem_response(
        500,
        "The connection was lost during commit. Check whether the change was saved"
        " before retrying.",
    )


async def _database_error(request: Request, error: DBAPIError) -> Response:
    if isinstance(error, IntegrityError):
        # Repositories translate violations at flush; this one is deferred to COMMIT.
        name = constraint_name(error, Base.metadata)
        detail = f"The change violates {name or 'a constraint'}."
        return problem_response(409, detail, constraint=name)
    if is_retryable(error):
        logger.warning("%s", describe_error(error))
        return problem_response(
            503, "The database is busy. Retry later.", {"Retry-After": "1"}
        )
    # The check logs the revisions and the command that fixes them.
    if await run_checks({"migrations": request.app.state.checks["migrations"]}):
        return problem_response(
            503, "The database is not at the revision of this version of the code."
        )
    raise error


async def _os_error(_: Request, error: OSError) -> Response:
    if error.filename is not None:
        raise error
    # Without a file name it comes from the network.
    logger.error("%s", error)
    return problem_response(
        503, "The database is unreachable. Retry later.", {"Retry-After": "5"}
    )
