"""200 concurrent clients over real HTTP, none of which gets a server error."""

import asyncio
import collections
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from async_app.db import Database, Repository
from async_app.models import Tag
from async_app.settings import Settings

CLIENTS = 200
TOKEN = "0123456789abcdef"


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[int]:
    """Serve the API from another process and yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = settings.sqlalchemy_url
    url = url.set(drivername=url.get_backend_name())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "async_app", "serve"),
        env=os.environ
        | {
            "DATABASE_URL": url.render_as_string(hide_password=False),
            "API_PORT": str(port),
            "API_TOKEN": TOKEN,
        },
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    while b"startup complete" not in await process.stderr.readline():
        pass
    drain = asyncio.create_task(process.stderr.read())
    try:
        yield port
    finally:
        process.terminate()
        await process.wait()
        await drain


async def client(port: int, number: int, seen: collections.Counter[str]) -> None:
    """Create a tag, read it and read a page, twenty times."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send(method: str, path: str, body: object = None) -> tuple[int, str]:
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n"
            f"Content-Type: application/json\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        response = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(response.partition("content-length: ")[2].partition("\r")[0] or 0)
        await reader.readexactly(length)
        status = int(response.split()[1])
        seen[f"{method} {status}"] += 1
        return status, response.partition("location: ")[2].partition("\r")[0]

    for iteration in range(20):
        # Two clients create each name.
        name = {"name": f"tag {number // 2} {iteration}"}
        status, location = await send("POST", "/tags", name)
        if status == 201:
            assert (await send("GET", location))[0] == 200
        await send("GET", "/tags?size=20")
    writer.close()
    await writer.wait_closed()


async def test_two_hundred_clients_get_no_server_error(
    settings: Settings,
) -> None:
    seen: collections.Counter[str] = collections.Counter()
    async with served(settings) as port:
        await asyncio.gather(*(client(port, n, seen) for n in range(CLIENTS)))
    print(dict(seen))
    assert seen["POST 201"] == CLIENTS * 10
    assert set(seen) == {"POST 201", "POST 409", "GET 200"}
    async with Database(settings) as database, database.read_session() as session:
        assert await Repository[Tag](session).count() == CLIENTS * 10


@pytest.mark.parametrize("pieces", [1, 7])
async def test_clients_that_hang_up_leave_a_working_server(
    settings: Settings, pieces: int
) -> None:
    body = json.dumps({"name": "x" * 100}).encode()
    head = (
        f"POST /tags HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body) + 1}\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    )

    async def hang_up(port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode())
        for _ in range(pieces):
            writer.write(body[: len(body) // 7])
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    seen: collections.Counter[str] = collections.Counter()
    async with served(settings) as port:
        await asyncio.gather(*(hang_up(port) for _ in range(CLIENTS)))
        await client(port, 0, seen)
    assert seen["POST 201"] == 20
    async with Database(settings) as database, database.read_session() as session:
        assert await Repository[Tag](session).count() == 20
