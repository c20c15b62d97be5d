"""Tests of the commands: `serve` as a process, and the port check of `doctor`."""

import gc
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import uvicorn
from fastapi import FastAPI
from uvicorn.importer import import_from_string

from {{cookiecutter.project_slug}}.api.commands import (
    check_port,
    serve,
)
from {{cookiecutter.project_slug}}.settings import Settings

PACKAGE = serve.__module__.partition(".")[0]
SIGNALS = [signal.SIGINT, signal.SIGTERM]


@contextmanager
def started(settings: Settings, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run `serve` as a process."""
    url = settings.sqlalchemy_url
    url = url.set(drivername=url.get_backend_name())
    environment = {
        "APP_ENV": "test",
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "API_PORT": "0",
    }
    with subprocess.Popen(
        [sys.executable, "-m", PACKAGE, "serve"],
        env=os.environ | environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_serve_ends_with_one_line_for_a_wrong_setting(settings: Settings) -> None:
    with started(settings, API_PORT="many") as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.startswith("API_PORT: ") and said.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals are for POSIX")
@pytest.mark.parametrize("number", SIGNALS)
def test_serve_runs_until_a_signal(settings: Settings, number: int) -> None:
    with started(settings) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        url = line["message"].removeprefix("serving ")
        with urllib.request.urlopen(f"{url}/health/ready", timeout=10) as response:
            assert json.load(response)["status"] == "ok"
        process.send_signal(number)
        output = process.stdout.read()
        assert process.wait(10) in (0, -number)
    assert "Application shutdown complete." in output
    assert "Traceback" not in output


def test_reload_imports_the_app_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, dict[str, object]]] = []

    def run(target: str, **options: object) -> None:
        calls.append((target, options))

    monkeypatch.setattr(uvicorn, "run", run)
    serve(reload=True)
    ((target, options),) = calls
    assert isinstance(import_from_string(target), FastAPI)
    assert options["reload"] is True


def test_responses_do_not_wait_for_delayed_acks(settings: Settings) -> None:
    with started(settings) as process:
        assert process.stdout is not None
        url = urlsplit(json.loads(process.stdout.readline())["message"].split()[1])
        connection = HTTPConnection(str(url.hostname), url.port, timeout=10)
        durations = []
        for _ in range(21):
            start = time.perf_counter()
            connection.request("GET", "/health/live")
            assert connection.getresponse().read()
            durations.append(time.perf_counter() - start)
        connection.close()
    assert statistics.median(durations) < 0.03


def test_garbage_collection_skips_imported_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frozen = []

    def run(*_: object, **__: object) -> None:
        frozen.append(gc.get_freeze_count())

    monkeypatch.setenv("API_PORT", "0")
    monkeypatch.setattr(uvicorn.Server, "run", run)
    serve()
    gc.unfreeze()
    assert frozen[0] > 10_000


def test_a_port_in_use_gives_one_line(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = str(occupied.getsockname()[1])
        with started(settings, API_PORT=port) as process:
            output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    (line,) = output.splitlines()
    assert line.startswith(f"cannot listen on API_HOST 127.0.0.1, API_PORT {port}: ")


def test_an_invalid_setting_gives_one_line(settings: Settings) -> None:
    with started(settings, API_TOKEN="short") as process:
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    (line,) = output.splitlines()
    assert line.startswith("API_TOKEN: expected ")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are for POSIX")
def test_an_unreachable_database_gives_one_line_a_check(settings: Settings) -> None:
    wrong = settings.sqlalchemy_url.set(database=os.getcwd())
    url = wrong.set(drivername=wrong.get_backend_name())
    text = url.render_as_string(hide_password=False)
    with started(settings, DATABASE_URL=text) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(5)]
        process.send_signal(signal.SIGTERM)
    messages = [line["message"] for line in lines if line["level"] == "warning"]
    assert sorted(each.split(": ")[:2] for each in messages) == [
        ["not ready", "database"],
        ["not ready", "migrations"],
    ]
    assert all("\n" not in each for each in messages)


async def test_check_port_reports_a_free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PORT", "0")
    assert await check_port() == ("ok", "port", "0 is free")


async def test_check_port_warns_about_a_port_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = str(occupied.getsockname()[1])
        monkeypatch.setenv("API_PORT", port)
        status, subject, message = await check_port()
    assert (status, subject) == ("warn", "port")
    assert message.startswith(f"{port}: ")
    assert "API_PORT" in message
