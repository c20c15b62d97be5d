"""Tests of what errors are answered with."""

import logging

import pytest
from fastapi import FastAPI, HTTPException
from httpx import AsyncClient
from pydantic import BaseModel
from sqlalchemy import text

from {{cookiecutter.project_slug}}.api.dependencies import Reader
from {{cookiecutter.project_slug}}.database import (
    CommitOutcomeUnknown,
    PoolExhausted,
)
from {{cookiecutter.project_slug}}.repository import (
    Conflict,
    NotFound,
    NotUnique,
    UnknownColumn,
)


class Order(BaseModel):
    """What somebody wants."""

    amount: int


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (NotFound("Thing 7 does not exist"), 404, "Thing 7 does not exist"),
        (NotUnique("several"), 409, "several"),
        (UnknownColumn("no column"), 422, "no column"),
        (Conflict("uq_x is broken", "uq_x"), 409, "uq_x is broken"),
        (PoolExhausted("secret"), 503, "try again"),
        (CommitOutcomeUnknown("secret"), 500, "look whether"),
        (ConnectionRefusedError(111, "secret"), 503, "does not answer"),
        (FileNotFoundError(2, "secret", "secret"), 500, ""),
        (ValueError("secret"), 500, ""),
        (HTTPException(418, "no coffee"), 418, "no coffee"),
    ],
)
async def test_each_error_has_its_answer(
    app: FastAPI, client: AsyncClient, error: Exception, status: int, said: str
) -> None:
    @app.get("/failing")
    async def fail() -> None:
        raise error

    response = await client.get("/failing")
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["type"] == "about:blank"
    assert said in problem.get("detail", "")
    assert "secret" not in response.text
    assert problem.get("constraint") == getattr(error, "constraint", None)


async def test_what_may_be_tried_again_says_when(
    app: FastAPI, client: AsyncClient
) -> None:
    @app.get("/busy")
    async def be_busy() -> None:
        raise PoolExhausted("no connection")

    assert int((await client.get("/busy")).headers["retry-after"]) > 0


async def test_what_should_not_have_happened_is_logged_with_the_id_of_the_request(
    app: FastAPI, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/failing")
    async def fail() -> None:
        raise ValueError("what went wrong")

    with caplog.at_level(logging.ERROR):
        response = await client.get("/failing")
    assert "ValueError: what went wrong" in caplog.text
    assert response.headers["x-request-id"]


async def read_from_a_table_that_is_missing(reader: Reader) -> None:
    """Fail, as a handler does whose table was not made."""
    await reader.execute(text("SELECT 1 FROM missing"))


@pytest.mark.usefixtures("older_revision")
async def test_a_database_that_is_not_migrated_costs_one_sentence(
    app: FastAPI, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    app.add_api_route("/missing", read_from_a_table_that_is_missing)
    response = await client.get("/missing")
    assert response.status_code == 503
    assert "not at the revision" in response.json()["detail"]
    assert "the database is at revision older" in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_missing_table_of_a_migrated_database_is_a_mistake_of_the_code(
    app: FastAPI, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    app.add_api_route("/missing", read_from_a_table_that_is_missing)
    assert (await client.get("/missing")).status_code == 500
    assert "Traceback" in caplog.text


async def test_a_request_that_is_not_valid_says_where(
    app: FastAPI, client: AsyncClient
) -> None:
    @app.post("/orders")
    async def order(order: Order, size: int = 1) -> None: ...

    response = await client.post("/orders?size=x", json={"amount": "secret"})
    assert response.status_code == 422
    assert "secret" not in response.text
    assert [each["where"] for each in response.json()["errors"]] == [
        "query.size",
        "body.amount",
    ]


async def test_a_method_that_a_path_does_not_know_is_answered_with_those_that_it_knows(
    app: FastAPI, client: AsyncClient
) -> None:
    async def order() -> None: ...

    app.add_api_route("/orders", order, methods=["GET"])
    app.add_api_route("/orders", order, methods=["POST", "PATCH"])
    response = await client.delete("/orders")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, PATCH, POST"


async def test_a_path_and_a_method_that_nobody_serves_are_problems_too(
    client: AsyncClient,
) -> None:
    missing = await client.get("/nothing/here")
    wrong = await client.put("/health/live")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert wrong.headers["allow"] == "GET"
    for response in (missing, wrong):
        assert response.headers["content-type"] == "application/problem+json"
