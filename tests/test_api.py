"""Slow tests of projects with an API: under load, against their own document, without it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from baking import TEMPLATE
from combinations import DATABASES, OPTIONS, Answers
from installing import Install, Installed, uv

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="runs POSIX paths"),
]
each_database = pytest.mark.parametrize("database", DATABASES)

TOKEN = "0123456789abcdef"

# What a document cannot say: which rows exist, which versions are the newest, and which
# texts are places that a list has given out.
SCHEMATHESIS = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "304", "404", "409", "412"]

[checks.missing_required_header]
expected-statuses = ["428"]

[[operations]]
include-name = ["GET /posts", "GET /tags", "GET /users"]
checks.positive_data_acceptance.expected-statuses = ["200", "422"]
"""


def answers(database: str, *, sample_models: bool = True) -> Answers:
    """Name a project with an API."""
    return {"database": database, "api": True, "sample_models": sample_models}


def first_python(text: str) -> str:
    """Read the first block of Python that a document shows."""
    match = re.search(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert match
    return match[1]


@contextmanager
def serving(project: Installed, log: Path) -> Iterator[str]:
    """Serve a project's API with its own database, and give the address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command: list[str | Path] = [project.python, "-m", f"{project.project.slug}.api"]
    if project.project.answers["database"] == "postgresql":
        script = project.project.path / "scripts" / "embedded_postgres.py"
        command = [project.python, script, *command]
    env = project.env | {"API_PORT": str(port), "API_TOKEN": TOKEN}
    with (
        log.open("wb") as file,
        subprocess.Popen(
            command,
            cwd=project.project.path,
            env=env,
            stdout=file,
            stderr=file,
            start_new_session=True,
        ) as process,
    ):
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(300):
                time.sleep(0.1)
                try:
                    urllib.request.urlopen(f"{address}/health/live", timeout=5).close()
                    break
                except OSError:
                    assert process.poll() is None, log.read_text()
            yield address
        finally:
            # The script of the embedded server does not pass signals on.
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


@pytest.fixture(scope="module")
def with_api(install: Install) -> Callable[[str], Installed]:
    """Give a function that installs a project with an API and the tests of the load."""
    memory: dict[str, Installed] = {}

    def make(database: str) -> Installed:
        if database not in memory:
            memory[database] = project = install(answers(database))
            # Below the project's own tests of its API, whose fixtures they use.
            folder = project.project.path / "tests" / "api" / "over_http"
            ignored = shutil.ignore_patterns("__pycache__")
            source = TEMPLATE / "tests" / "api_over_http"
            shutil.copytree(source, folder, ignore=ignored)
        return memory[database]

    return make


@each_database
def test_200_clients_at_once_get_no_error_of_the_server(
    with_api: Callable[[str], Installed], database: str
) -> None:
    said = with_api(database).run(
        *("pytest", "-p", "no:cacheprovider", "tests/api/over_http/load.py")
    )
    assert " passed" in said


def test_a_serialization_failure_at_commit_stores_nothing_and_is_no_success(
    with_api: Callable[[str], Installed],
) -> None:
    said = with_api("postgresql").run(
        *("pytest", "-p", "no:cacheprovider", "tests/api/over_http/postgresql.py")
    )
    assert "1 passed" in said


@each_database
def test_the_api_does_what_its_document_says(
    tmp_path: Path, with_api: Callable[[str], Installed], database: str
) -> None:
    project = with_api(database)
    command = ("pip", "install", "--python", project.python, "schemathesis>=4.32,<5")
    uv(project.env, *command, cwd=project.project.path)
    project.alembic("upgrade", "head")
    (tmp_path / "schemathesis.toml").write_text(SCHEMATHESIS)
    log = tmp_path / "log"
    with serving(project, log) as address:
        said = project.run(
            *("schemathesis.cli", "run", f"{address}/openapi.json", "--no-color"),
            *("--header", f"Authorization: Bearer {TOKEN}"),
            *("--max-examples", "30", "--generation-deterministic"),
            cwd=tmp_path,
        )
    assert "No issues found" in said
    assert "16 selected / 16 total" in said
    assert '"status": 5' not in log.read_text()
    assert "traceback" not in log.read_text()


@each_database
@pytest.mark.parametrize("others", [True, False], ids=["beside all others", "alone"])
def test_without_its_folders_the_project_is_green(
    install: Install, database: str, others: bool
) -> None:
    also = dict.fromkeys(OPTIONS, others)
    project = install({**also, **answers(database, sample_models=others)})
    assert " passed" in project.run("pytest", "-p", "no:cacheprovider", "tests/api")
    shutil.rmtree(project.project.package / "api")
    shutil.rmtree(project.project.path / "tests" / "api")
    assert " passed" in project.run("pytest", "-p", "no:cacheprovider")
    for command in (
        ("black", "--check", "--diff", "--quiet", "."),
        ("ruff", "check", "--no-cache", "."),
        ("mypy",),
    ):
        project.run(*command)
    project.alembic("upgrade", "head")
    project.alembic("check")


@each_database
def test_what_the_guide_to_the_api_serves_is_served_by_being_there(
    tmp_path: Path, install: Install, database: str
) -> None:
    project = install(answers(database, sample_models=False))
    shown = {
        "models/task.py": first_python(project.project.read("README.md")),
        "api/routes/tasks.py": first_python(project.project.read("docs/api.md")),
    }
    for name, text in shown.items():
        (project.project.package / name).write_text(text)
    for command in (("black", "--check", "-q", "."), ("ruff", "check", "."), ("mypy",)):
        project.run(*command)

    def ask(path: str, body: object = None, method: str | None = None) -> object:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address + path, content, method=method)
        request.add_header("Authorization", f"Bearer {TOKEN}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as response:
            said = response.read()
        return json.loads(said) if said else None

    project.alembic("upgrade", "head")
    project.alembic("revision", "--autogenerate", "--message", "add tasks")
    with serving(project, tmp_path / "log") as address:
        with pytest.raises(urllib.error.HTTPError, match="503"):
            ask("/health/ready")
        project.alembic("upgrade", "head")
        ask("/health/ready")
        task = {"id": 1, "title": "water the plants", "done": False}
        assert ask("/tasks", {"title": "water the plants"}) == task
        assert ask("/tasks?done=false") == {"items": [task], "next": None}
        ask("/tasks/1", method="DELETE")
        assert ask("/tasks") == {"items": [], "next": None}


@each_database
def test_the_oldest_fastapi_and_uvicorn_do_as_well(
    install: Install, database: str
) -> None:
    project = install(answers(database))
    oldest = ("fastapi==0.121.0", "uvicorn==0.34.0", "httpx==0.28.0")
    command = ("pip", "install", "--python", project.python, *oldest)
    uv(project.env, *command, cwd=project.project.path)
    assert " passed" in project.run("pytest", "-p", "no:cacheprovider", "tests/api")
