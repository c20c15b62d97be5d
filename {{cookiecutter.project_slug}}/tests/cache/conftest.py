"""A real Redis for the tests: TEST_REDIS_URL, or a server that is started for them."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

import pytest

from {{cookiecutter.project_slug}} import settings as module
from {{cookiecutter.project_slug}}.cache.client import Cache
from {{cookiecutter.project_slug}}.cache.settings import (
    CacheSettings,
)

# The cache adds to the API, where there is one.
collect_ignore = [] if (Path(module.__file__).parent / "api").exists() else ["http"]

PATIENCE = 10
"""Seconds that a server may take to start."""

Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture(autouse=True)
def no_cache_settings_from_outside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Keep the developer's own environment and files out of the tests."""
    for name in CacheSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(module, "project_root", lambda: tmp_path)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis that tests share; each has a prefix of its own."""
    if given := os.environ.get("TEST_REDIS_URL"):
        yield given
        return
    port = free_port()
    process = start_server(port, tmp_path_factory.mktemp("redis"))
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait()


@pytest.fixture
def cache_settings(redis_url: str) -> CacheSettings:
    """The settings of a cache that has nothing of other tests."""
    return CacheSettings(
        _env_file=None, redis_url=redis_url, cache_version=token_hex(8)
    )


@pytest.fixture
async def cache(cache_settings: CacheSettings) -> AsyncIterator[Cache]:
    """An empty cache."""
    async with Cache(cache_settings) as cache:
        yield cache


@pytest.fixture
def own_port() -> int:
    """The port for a Redis that one test alone starts, stops and halts."""
    return free_port()


@pytest.fixture
def start_redis(own_port: int, tmp_path: Path) -> Iterator[Start]:
    """A function that starts a Redis on that port, empty each time."""
    processes = []

    def start() -> subprocess.Popen[bytes]:
        processes.append(start_server(own_port, tmp_path))
        return processes[-1]

    yield start
    for process in processes:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        process.wait()


@pytest.fixture
async def own_cache(own_port: int) -> AsyncIterator[Cache]:
    """A cache in the Redis on that port."""
    settings = CacheSettings(
        _env_file=None, redis_url=f"redis://127.0.0.1:{own_port}/0"
    )
    async with Cache(settings) as cache:
        yield cache


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def start_server(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start a server that keeps nothing, and wait until it answers."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("needs TEST_REDIS_URL, or redis-server or valkey-server in PATH")
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    with (folder / "redis.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(OSError):
            with socket.create_connection(("127.0.0.1", port), timeout=1) as line:
                line.sendall(b"PING\r\n")
                if line.recv(5) == b"+PONG":
                    return process
        said = (folder / "redis.log").read_text(errors="replace")[-1000:]
        assert process.poll() is None and time.monotonic() < deadline, said
        time.sleep(0.02)
