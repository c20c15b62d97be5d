"""Redis for the tests: the server at TEST_REDIS_URL, or one started for the run."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

import pytest

from {{cookiecutter.project_slug}} import settings as module
from {{cookiecutter.project_slug}}.cache.client import Cache
from {{cookiecutter.project_slug}}.cache.settings import (
    CacheSettings,
)

# Collect the tests over HTTP only in a project that has an API.
collect_ignore = [] if (Path(module.__file__).parent / "api").exists() else ["http"]

START_TIMEOUT_SECONDS = 10

Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture(autouse=True)
def clean_cache_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the developer's environment variables and .env files from the tests."""
    for name in CacheSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(module, "project_root", lambda: tmp_path)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Redis that tests share; each test uses another key prefix."""
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
    """Settings of a cache that shares no keys with other tests."""
    return CacheSettings(
        _env_file=None, redis_url=redis_url, cache_version=token_hex(8)
    )


@pytest.fixture
async def cache(cache_settings: CacheSettings) -> AsyncGenerator[Cache]:
    """Empty cache."""
    async with Cache(cache_settings) as cache:
        yield cache


@pytest.fixture
def own_port() -> int:
    """Port of a Redis that the test starts, stops and suspends itself."""
    return free_port()


@pytest.fixture
def start_redis(own_port: int, tmp_path: Path) -> Iterator[Start]:
    """Function that starts an empty Redis on `own_port`."""
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
async def own_cache(own_port: int) -> AsyncGenerator[Cache]:
    """Cache in the Redis on `own_port`."""
    settings = CacheSettings(
        _env_file=None, redis_url=f"redis://127.0.0.1:{own_port}/0"
    )
    async with Cache(settings) as cache:
        yield cache


def free_port() -> int:
    """Return a free TCP port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def start_server(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start a server without persistence, and wait until it responds."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("needs TEST_REDIS_URL, or redis-server or valkey-server in PATH")
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    with (folder / "redis.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        with suppress(OSError):
            with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
                client.sendall(b"PING\r\n")
                if client.recv(5) == b"+PONG":
                    return process
        output = (folder / "redis.log").read_text(errors="replace")[-1000:]
        assert process.poll() is None and time.monotonic() < deadline, output
        time.sleep(0.02)
