"""Measures the API against that of a project of fastapi_template, side by side, in one run.

    DATABASE_URL=... python benchmarks/api.py OURS RIVAL

OURS is a rendered project with `api`, and may be changed. RIVAL is one that was made with

    fastapi_template --name rival --api-type rest --orm sqlalchemy --dummy --routers \
        --migrations --quiet --db postgresql        (or sqlite)

Runs with a Python that has what both depend on. Each is served by one process of uvicorn, as
its own command does it, with its log going nowhere; both read the same rows from the same
table of the same database: that of RIVAL, which OURS gets a model and a route for. Each line is
the median of the ratios of neighbouring rounds, with the lowest and the highest.
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
"""The table that fastapi_template makes."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base


class Dummy(Base):
    """A row of it, which has no timestamps."""

    __tablename__ = "dummy_model"
    created_at = None
    updated_at = None

    name: Mapped[str] = mapped_column(String(200))
'''
# As docs/api.md says, and like the routes that the project has.
ROUTE = '''\
"""Dummies over HTTP."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from ...models.dummy import Dummy as Model
from ...repository import Repository
from ..dependencies import Reader
from ..etags import IfNoneMatch
from ..pages import Page, Paging

router = APIRouter(prefix="/dummies")


class Dummy(BaseModel):
    """A row of it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str


@router.get("")
async def list_dummies(session: Reader, paging: Paging) -> Page[Dummy]:
    """List them."""
    return await paging.page(Repository[Model](session), Dummy)


@router.get("/{dummy_id}", response_model=Dummy)
async def get_dummy(session: Reader, dummy_id: int, known: IfNoneMatch) -> Any:
    """Return one."""
    row = await Repository[Model](session).get(dummy_id)
    return known.answer(Dummy.model_validate(row))
'''

DRIVERS = {"postgresql": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"}


class Client(asyncio.Protocol):
    """Sends the same request again and again on one connection, and counts the answers."""

    def __init__(self, request: bytes) -> None:
        """Begin with nothing sent."""
        self.request = request
        self.buffer = b""
        self.answers = 0
        self.length = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Send the next request when an answer is complete."""
        self.buffer += data
        if not self.length:
            head, end, _ = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 200 "), self.buffer
            size = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
            self.length = len(head) + 4 + int(size)
        if len(self.buffer) >= self.length:
            self.answers += 1
            self.buffer, self.length = b"", 0
            self.transport.write(self.request)


async def rate(port: int, path: str) -> float:
    """Return how many requests per second are answered."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Client(request), "127.0.0.1", port)
        for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(0.3)
    before, started = sum(each.answers for _, each in made), time.perf_counter()
    await asyncio.sleep(SECONDS)
    after, took = sum(each.answers for _, each in made), time.perf_counter() - started
    for transport, _ in made:
        transport.abort()
    return (after - before) / took


async def compare(name: str, ours: tuple[int, str], theirs: tuple[int, str]) -> None:
    """Print how many times as many requests ours answers."""
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
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def served(folder: Path, module: str, port: int, **variables: str) -> Iterator[None]:
    """Serve a project while the block runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=folder,
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            time.sleep(0.1)
            assert process.poll() is None, f"{module} ended"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        time.sleep(1)
        yield
    finally:
        process.terminate()
        process.wait()


async def fill(url: URL) -> None:
    """Make the table of RIVAL and put rows into it."""
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
    address = url.render_as_string(hide_password=False)
    package = next((ours / "src").iterdir()).name
    own = {"DATABASE_URL": address, "PYTHONPATH": str(ours / "src")}
    subprocess.run(
        [sys.executable, "-m", f"{package}.migrations", "upgrade", "head"],
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
        stack.enter_context(served(ours, f"{package}.api", ports[0], **own))
        stack.enter_context(served(rival, "rival", ports[1], **theirs))
        for name, mine, other in (
            ("one row", "/dummies/7", "/api/dummy/?limit=1&offset=6"),
            ("a page of 50", "/dummies?size=50", "/api/dummy/?limit=50"),
        ):
            pair = (ports[0], mine), (ports[1], other)
            asyncio.run(compare(f"GET of {name}", *pair))


if __name__ == "__main__":
    address = (sys.argv[3:] or [os.environ["DATABASE_URL"]])[0]
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), make_url(address))
