"""Compare the API with that of a project of fastapi_template, side by side, in one run.

    DATABASE_URL=... python benchmarks/api.py OURS RIVAL

OURS is a rendered project with `api`, and is changed. RIVAL is a project created with

    fastapi_template --name rival --api-type rest --orm sqlalchemy --dummy --routers \
        --migrations --quiet --db postgresql        (or sqlite)

Runs with a Python that has the dependencies of both. Each project's own command serves it with
one process of uvicorn, without a log. Both read the same rows from the same table of the same
database: that of RIVAL, for which OURS gets a model and a route. Each line is the median of the
ratios of neighbouring rounds, with the lowest and the highest.
"""

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

CONNECTIONS = 16
SECONDS = 1.0
ROUNDS = 15
ROWS = 1000
AIM = 1.5

MODEL = '''\
"""Table of fastapi_template."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from ..db import Base, IntegerId


class Dummy(IntegerId, Base):
    """Row of the table."""

    __tablename__ = "dummy_model"

    name: Mapped[str] = mapped_column(String(200))
'''
# Written as docs/api.md shows it, like the project's own routes.
ROUTE = '''\
"""Routes of dummies."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from ...db import Repository
from ...models.dummy import Dummy
from ..dependencies import ReadSessionDep
from ..etags import IfNoneMatchDep
from ..pagination import Page, PaginationDep

router = APIRouter(prefix="/dummies")


class DummyRead(BaseModel):
    """Dummy in a response."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str


@router.get("")
async def list_dummies(
    session: ReadSessionDep, pagination: PaginationDep
) -> Page[DummyRead]:
    """List dummies."""
    return await pagination.page(Repository[Dummy](session), DummyRead)


@router.get("/{dummy_id}", response_model=DummyRead)
async def get_dummy(
    session: ReadSessionDep, dummy_id: int, if_none_match: IfNoneMatchDep
) -> Any:
    """Return a dummy."""
    row = await Repository[Dummy](session).get(dummy_id)
    return if_none_match.respond(DummyRead.model_validate(row))
'''

DRIVERS = {"postgresql": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"}


class Client(asyncio.Protocol):
    """Client that repeats one request on one connection, and counts the responses."""

    def __init__(self, request: bytes) -> None:
        """Store the request; nothing is sent yet."""
        self.request = request
        self.buffer = b""
        self.responses = 0
        self.length = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Send the next request when a response is complete."""
        self.buffer += data
        if not self.length:
            head, end, _ = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 200 "), self.buffer
            size = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
            self.length = len(head) + 4 + int(size)
        if len(self.buffer) >= self.length:
            self.responses += 1
            self.buffer, self.length = b"", 0
            self.transport.write(self.request)


async def rate(port: int, path: str) -> float:
    """Measure requests per second."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    clients = [
        await loop.create_connection(lambda: Client(request), "127.0.0.1", port)
        for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(0.3)
    before, started = sum(each.responses for _, each in clients), time.perf_counter()
    await asyncio.sleep(SECONDS)
    after = sum(each.responses for _, each in clients)
    seconds = time.perf_counter() - started
    for transport, _ in clients:
        transport.abort()
    return (after - before) / seconds


async def compare(name: str, ours: tuple[int, str], theirs: tuple[int, str]) -> None:
    """Print the ratio of our requests per second to theirs."""
    pairs = [(await rate(*ours), await rate(*theirs)) for _ in range(ROUNDS)]
    ratios = [mine / other for mine, other in pairs]
    middle = statistics.median(ratios)
    reached = "yes" if middle >= AIM else "**no**"
    spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
    mine, theirs = (
        f"{statistics.median(each):,.0f} a second" for each in zip(*pairs, strict=True)
    )
    row = (f"{name}, {mine}", f"fastapi_template, {theirs}", f"{middle:.2f}", spread)
    print(f"| {' | '.join(row)} | {AIM:.2f} | {reached} |", flush=True)


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def served(
    folder: Path, command: tuple[str, ...], port: int, **variables: str
) -> Iterator[None]:
    """Serve a project while the block runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            time.sleep(0.1)
            assert process.poll() is None, f"{command[0]} ended"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        time.sleep(1)
        yield
    finally:
        process.terminate()
        process.wait()


async def fill(url: URL) -> None:
    """Create the table of RIVAL and insert rows."""
    engine = create_async_engine(url.set(drivername=DRIVERS[url.get_backend_name()]))
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE IF EXISTS dummy_model"))
        columns = "id INTEGER PRIMARY KEY, name VARCHAR(200) NOT NULL"
        await connection.execute(text(f"CREATE TABLE dummy_model ({columns})"))
        rows = [{"id": n, "name": f"dummy {n}"} for n in range(1, ROWS + 1)]
        insert = "INSERT INTO dummy_model (id, name) VALUES (:id, :name)"
        await connection.execute(text(insert), rows)
    await engine.dispose()


def main(ours: Path, rival: Path, url: URL) -> None:
    """Print the lines of one database."""
    package = next((ours / "src").iterdir()).name
    own = {
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "PYTHONPATH": str(ours / "src"),
    }
    subprocess.run(
        [sys.executable, "-m", package, "db", "upgrade", "head"],
        cwd=ours,
        env=os.environ | own,
        check=True,
        stderr=subprocess.DEVNULL,
    )
    asyncio.run(fill(url))
    (ours / "src" / package / "models" / "dummy.py").write_text(MODEL)
    (ours / "src" / package / "api" / "routes" / "dummies.py").write_text(ROUTE)
    ports = free_port(), free_port()
    theirs = {
        "RIVAL_PORT": str(ports[1]),
        "RIVAL_RELOAD": "false",
        "RIVAL_DB_HOST": url.host or "",
        "RIVAL_DB_PORT": str(url.port or 5432),
        "RIVAL_DB_USER": url.username or "postgres",
        "RIVAL_DB_PASS": url.password or "",
        "RIVAL_DB_BASE": url.database or "",
        "RIVAL_DB_FILE": url.database or "",
    }
    with ExitStack() as stack:
        own["API_PORT"] = str(ports[0])
        stack.enter_context(served(ours, (package, "serve"), ports[0], **own))
        stack.enter_context(served(rival, ("rival",), ports[1], **theirs))
        for name, mine, other in (
            ("one row", "/dummies/7", "/api/dummy/?limit=1&offset=6"),
            ("a page of 50", "/dummies?size=50", "/api/dummy/?limit=50"),
        ):
            pair = (ports[0], mine), (ports[1], other)
            asyncio.run(compare(f"GET of {name}", *pair))


if __name__ == "__main__":
    database = make_url((sys.argv[3:] or [os.environ["DATABASE_URL"]])[0])
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), database)
