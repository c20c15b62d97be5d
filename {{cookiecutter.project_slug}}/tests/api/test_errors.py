"""Tests of error responses."""

import logging

import pytest
from fastapi import FastAPI, HTTPException
from httpx import AsyncClient
from pydantic import BaseModel
from sqlalchemy import text

from {{cookiecutter.project_slug}}.api.dependencies import (
    ReadSessionDep,
)
from {{cookiecutter.project_slug}}.db import (
    CommitOutcomeUnknownError,
    ConstraintViolationError,
    MultipleResultsError,
    NotFoundError,
    PoolTimeoutError,
    UnknownColumnError,
)


class Order(BaseModel):
    """Request body."""

    amount: int


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (NotFoundError("Item 7 does not exist"), 404, "Item 7 does not exist"),
        (MultipleResultsError("several"), 409, "several"),
        (UnknownColumnError("no column"), 422, "no column"),
        (ConstraintViolationError("uq_x is violated", "uq_x"), 409, "uq_x is violated"),
        (PoolTimeoutError("secret"), 503, "Retry later"),
        (CommitOutcomeUnknownError("secret"), 500, "Check whether"),
        (ConnectionRefusedError(111, "secret"), 503, "is unreachable"),
        (FileNotFoundError(2, "secret", "secret"), 500, ""),
        (ValueError("secret"), 500, ""),
        (HTTPException(418, "no coffee"), 418, "no coffee"),
    ],
)
async def test_each_error_has_its_response(
    app: FastAPI, client: AsyncClient, error: Exception, status: int, detail: str
) -> None:
    @app.get("/_test/failing")
    async def fail() -> None:
        raise error

    response = await client.get("/_test/failing")
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["type"] == "about:blank"
    assert detail in problem.get("detail", "")
    assert "secret" not in response.text
    assert problem.get("constraint") == getattr(error, "constraint", None)


async def test_overload_has_retry_after(app: FastAPI, client: AsyncClient) -> None:
    @app.get("/_test/busy")
    async def fail() -> None:
        raise PoolTimeoutError("no connection")

    assert int((await client.get("/_test/busy")).headers["retry-after"]) > 0


async def test_unhandled_exceptions_are_logged(
    app: FastAPI, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/_test/failing")
    async def fail() -> None:
        raise ValueError("something went wrong")

    with caplog.at_level(logging.ERROR):
        response = await client.get("/_test/failing")
    assert "ValueError: something went wrong" in caplog.text
    assert response.headers["x-request-id"]


async def read_missing_table(session: ReadSessionDep) -> None:
    """Read a table that no migration creates."""
    await session.execute(text("SELECT 1 FROM missing"))


@pytest.mark.usefixtures("older_revision")
async def test_another_revision_is_unavailable(
    app: FastAPI, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    app.add_api_route("/_test/missing", read_missing_table)
    response = await client.get("/_test/missing")
    assert response.status_code == 503
    assert "not at the revision" in response.json()["detail"]
    assert "the database is at revision older" in caplog.text
    assert "Traceback" not in caplog.text


async def test_missing_table_at_head_is_a_server_error(
    app: FastAPI, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    app.add_api_route("/_test/missing", read_missing_table)
    assert (await client.get("/_test/missing")).status_code == 500
    assert "Traceback" in caplog.text


async def test_validation_errors_have_locations(
    app: FastAPI, client: AsyncClient
) -> None:
    @app.post("/_test/orders")
    async def create_order(order: Order, size: int = 1) -> None: ...

    response = await client.post("/_test/orders?size=x", json={"amount": "secret"})
    assert response.status_code == 422
    assert "secret" not in response.text
    assert [each["location"] for each in response.json()["errors"]] == [
        "query.size",
        "body.amount",
    ]


async def test_method_not_allowed_lists_the_methods_of_the_path(
    app: FastAPI, client: AsyncClient
) -> None:
    async def handle() -> None: ...

    app.add_api_route("/_test/orders", handle, methods=["GET"])
    app.add_api_route("/_test/orders", handle, methods=["POST", "PATCH"])
    response = await client.delete("/_test/orders")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, PATCH, POST"


async def test_routing_errors_are_problem_documents(
    client: AsyncClient,
) -> None:
    missing = await client.get("/_test/nothing")
    wrong = await client.put("/health/live")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert wrong.headers["allow"] == "GET"
    for response in (missing, wrong):
        assert response.headers["content-type"] == "application/problem+json"
