"""Tests of `python -m` for the API: what it serves, and what it says when it cannot."""

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

from {{cookiecutter.project_slug}} import api
from {{cookiecutter.project_slug}}.api.__main__ import main
from {{cookiecutter.project_slug}}.settings import Settings

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@contextmanager
def started(settings: Settings, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Start the API as a process of its own."""
    address = settings.address
    url = address.set(drivername=address.get_backend_name())
    own = {
        "APP_ENV": "test",
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "API_PORT": "0",
    }
    with subprocess.Popen(
        [sys.executable, "-m", api.__name__],
        env=os.environ | own | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are for POSIX")
@pytest.mark.parametrize("number", SIGNALS)
def test_it_serves_until_it_is_told_to_end(settings: Settings, number: int) -> None:
    with started(settings) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        address = line["message"].removeprefix("serving ")
        with urllib.request.urlopen(f"{address}/health/ready", timeout=10) as response:
            assert json.load(response)["status"] == "ok"
        process.send_signal(number)
        said = process.stdout.read()
        assert process.wait(10) in (0, -number)
    assert "Application shutdown complete." in said
    assert "Traceback" not in said


def test_no_answer_waits_for_an_acknowledgement(settings: Settings) -> None:
    with started(settings) as process:
        assert process.stdout is not None
        address = urlsplit(json.loads(process.stdout.readline())["message"].split()[1])
        connection = HTTPConnection(str(address.hostname), address.port, timeout=10)
        took = []
        for _ in range(21):
            begun = time.perf_counter()
            connection.request("GET", "/health/live")
            assert connection.getresponse().read()
            took.append(time.perf_counter() - begun)
        connection.close()
    assert statistics.median(took) < 0.03


def test_a_collection_of_garbage_does_not_look_through_all_that_was_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frozen = []

    def serve(*_: object, **__: object) -> None:
        frozen.append(gc.get_freeze_count())

    monkeypatch.setenv("API_PORT", "0")
    monkeypatch.setattr(uvicorn.Server, "run", serve)
    main()
    gc.unfreeze()
    assert frozen[0] > 10_000


def test_a_port_that_is_taken_gives_one_sentence(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with started(settings, API_PORT=port) as process:
            said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    (line,) = said.splitlines()
    assert line.startswith(f"cannot listen on API_HOST 127.0.0.1, API_PORT {port}: ")


def test_a_wrong_setting_gives_one_sentence(settings: Settings) -> None:
    with started(settings, API_TOKEN="short") as process:
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    (line,) = said.splitlines()
    assert line.startswith("API_TOKEN: expected ")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are for POSIX")
def test_a_database_that_does_not_answer_gives_one_sentence_each_time(
    settings: Settings,
) -> None:
    wrong = settings.address.set(database=os.getcwd())
    url = wrong.set(drivername=wrong.get_backend_name())
    address = url.render_as_string(hide_password=False)
    with started(settings, DATABASE_URL=address) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(5)]
        process.send_signal(signal.SIGTERM)
    said = [line["message"] for line in lines if line["level"] == "warning"]
    assert sorted(each.split(": ")[:2] for each in said) == [
        ["not ready", "database"],
        ["not ready", "migrations"],
    ]
    assert all("\n" not in each for each in said)
