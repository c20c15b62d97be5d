"""Tests of the request limits, response headers and request log."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from httpx import AsyncClient
from sqlalchemy import text

from {{cookiecutter.project_slug}}.api.app import create_app
from {{cookiecutter.project_slug}}.api.dependencies import (
    ReadSessionDep,
)
from {{cookiecutter.project_slug}}.api.settings import ApiSettings

Serve = Callable[[FastAPI], Awaitable[AsyncClient]]


@pytest.fixture
def app(api_settings: ApiSettings) -> FastAPI:
    """Application with a body limit of ten bytes and a timeout of one second."""
    limits = {"api_max_body": 10, "api_timeout": 1}
    app = create_app(api_settings.model_copy(update=limits))

    @app.post("/_test/bytes")
    async def count_bytes(request: Request) -> int:
        return len(await request.body())

    @app.get("/_test/statements/{number}")
    async def send_statements(session: ReadSessionDep, number: int) -> None:
        for _ in range(number):
            await session.execute(text("SELECT 1"))

    return app


async def chunks(size: int) -> AsyncIterator[bytes]:
    """Yield a body in chunks, so the request has no Content-Length."""
    for _ in range(size):
        yield b"x"


async def test_body_limit_covers_chunked_bodies(app: FastAPI, serve: Serve) -> None:
    client = await serve(app)
    for size, status in ((0, 200), (10, 200), (11, 413)):
        whole = await client.post("/_test/bytes", content=b"x" * size)
        chunked = await client.post("/_test/bytes", content=chunks(size))
        assert (whole.status_code, chunked.status_code) == (status, status)
        if status == 200:
            assert whole.json() == chunked.json() == size
    assert whole.headers["content-type"] == "application/problem+json"


async def test_too_large_content_length_is_refused_at_once(
    app: FastAPI, serve: Serve
) -> None:
    client = await serve(app)
    url = client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /_test/bytes HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()


async def test_an_incomplete_body_times_out(app: FastAPI, serve: Serve) -> None:
    client = await serve(app)
    url = client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /_test/bytes HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
    assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
    assert b'"status":408' in await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_a_started_response_has_no_timeout(app: FastAPI, serve: Serve) -> None:
    @app.get("/_test/stream")
    async def stream() -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            for _ in range(4):
                yield b"x"
                await asyncio.sleep(0.3)

        return StreamingResponse(lines())

    client = await serve(app)
    assert (await client.get("/_test/stream")).text == "xxxx"


async def test_responses_have_security_headers(client: AsyncClient) -> None:
    for path in ("/health/live", "/_test/nothing"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


async def test_requests_are_logged(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        response = await client.get("/_test/statements/3?secret=1")
    (record,) = [each for each in caplog.records if each.message == "request"]
    assert (
        vars(record).items()
        >= {
            "method": "GET",
            "path": "/_test/statements/3",
            "status": 200,
            "statements": 3,
        }.items()
    )
    assert response.headers["x-request-id"]
    assert "secret" not in str(vars(record))


async def test_statements_are_counted_for_each_request(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        numbers = range(1, 8)
        await asyncio.gather(*(client.get(f"/_test/statements/{n}") for n in numbers))
    records = [vars(each) for each in caplog.records if each.message == "request"]
    found = sorted((each["statements"], each["path"]) for each in records)
    assert found == [(n, f"/_test/statements/{n}") for n in numbers]


async def test_probes_are_not_logged(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await client.get("/health/live")
    assert not [each for each in caplog.records if each.message == "request"]


@pytest.mark.parametrize(
    ("request_id", "kept"), [("abc-1.2_3", True), ("a b", False), ("x" * 65, False)]
)
async def test_a_well_formed_request_id_is_kept(
    client: AsyncClient, request_id: str, kept: bool
) -> None:
    headers = {"X-Request-ID": request_id}
    response = await client.get("/health/live", headers=headers)
    assert (response.headers["x-request-id"] == request_id) == kept
