"""Tests of limits, headers and the log of requests."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from httpx import AsyncClient
from sqlalchemy import text

from {{cookiecutter.project_slug}}.api.app import create_app
from {{cookiecutter.project_slug}}.api.dependencies import Reader
from {{cookiecutter.project_slug}}.api.settings import ApiSettings

Serve = Callable[[FastAPI], Awaitable[AsyncClient]]


@pytest.fixture
def app(api_settings: ApiSettings) -> FastAPI:
    """An application that takes ten bytes, and counts those that it gets."""
    limits = {"api_max_body": 10, "api_timeout": 1}
    app = create_app(api_settings.model_copy(update=limits))

    @app.post("/bytes")
    async def count_bytes(request: Request) -> int:
        return len(await request.body())

    @app.get("/statements/{number}")
    async def send_statements(session: Reader, number: int) -> None:
        for _ in range(number):
            await session.execute(text("SELECT 1"))

    return app


async def pieces(size: int) -> AsyncIterator[bytes]:
    """Send a body in pieces, so that no header tells how long it is."""
    for _ in range(size):
        yield b"x"


async def test_a_body_has_a_limit_also_when_it_comes_in_pieces(
    app: FastAPI, serve: Serve
) -> None:
    client = await serve(app)
    for size, status in ((0, 200), (10, 200), (11, 413)):
        whole = await client.post("/bytes", content=b"x" * size)
        chunked = await client.post("/bytes", content=pieces(size))
        assert (whole.status_code, chunked.status_code) == (status, status)
        if status == 200:
            assert whole.json() == chunked.json() == size
    assert whole.headers["content-type"] == "application/problem+json"


async def test_a_body_that_says_it_is_too_large_is_not_waited_for(
    app: FastAPI, serve: Serve
) -> None:
    client = await serve(app)
    url = client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /bytes HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()


async def test_a_body_that_does_not_end_is_not_waited_for(
    app: FastAPI, serve: Serve
) -> None:
    client = await serve(app)
    url = client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /bytes HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
    assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
    assert b'"status":408' in await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_a_response_that_has_begun_may_take_its_time(
    app: FastAPI, serve: Serve
) -> None:
    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            for _ in range(4):
                yield b"x"
                await asyncio.sleep(0.3)

        return StreamingResponse(lines())

    client = await serve(app)
    assert (await client.get("/stream")).text == "xxxx"


async def test_each_response_carries_headers_that_protect(client: AsyncClient) -> None:
    for path in ("/health/live", "/nothing"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


async def test_a_request_is_logged_with_what_it_took(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        response = await client.get("/statements/3?secret=1")
    (record,) = [each for each in caplog.records if each.message == "request"]
    assert (
        vars(record).items()
        >= {
            "method": "GET",
            "path": "/statements/3",
            "status": 200,
            "statements": 3,
        }.items()
    )
    assert response.headers["x-request-id"]
    assert "secret" not in str(vars(record))


async def test_statements_are_counted_for_the_request_that_sends_them(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        numbers = range(1, 8)
        await asyncio.gather(*(client.get(f"/statements/{n}") for n in numbers))
    records = [vars(each) for each in caplog.records if each.message == "request"]
    found = sorted((each["statements"], each["path"]) for each in records)
    assert found == [(n, f"/statements/{n}") for n in numbers]


async def test_probes_are_not_in_the_log(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await client.get("/health/live")
    assert not [each for each in caplog.records if each.message == "request"]


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1.2_3", True), ("a b", False), ("x" * 65, False)]
)
async def test_the_id_of_a_proxy_is_kept_if_it_looks_like_one(
    client: AsyncClient, given: str, kept: bool
) -> None:
    headers = {"X-Request-ID": given}
    answered = (await client.get("/health/live", headers=headers)).headers
    assert (answered["x-request-id"] == given) == kept
