"""Test projects with an API: their OpenAPI document, their guide, without their API."""

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.combinations import DATABASES, OPTIONS, Answers
from support.installing import Install, Installed, uv

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX paths")
each_database = pytest.mark.parametrize("database", DATABASES)

TOKEN = "0123456789abcdef"

# The document cannot describe which rows exist, which ETags are current, and which cursors are
# valid.
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
    """Return the answers of a project with an API."""
    return {"database": database, "api": True, "sample_models": sample_models}


def first_python(text: str) -> str:
    """Return the first Python block of a document."""
    match = re.search(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert match
    return match[1]


@contextmanager
def serving(project: Installed, log: Path) -> Iterator[str]:
    """Serve a project's API with its own database, and yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command: list[str | Path] = [project.python, "-m", project.project.slug, "serve"]
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
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(300):
                time.sleep(0.1)
                try:
                    urllib.request.urlopen(f"{url}/health/live", timeout=5).close()
                    break
                except OSError:
                    assert process.poll() is None, log.read_text()
            yield url
        finally:
            # The script of the embedded server does not forward signals.
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


@each_database
def test_the_api_follows_its_openapi_document(
    tmp_path: Path, install: Install, database: str
) -> None:
    project = install(answers(database))
    command = ("pip", "install", "--python", project.python, "schemathesis>=4.32,<5")
    uv(project.env, *command, cwd=project.project.path)
    project.alembic("upgrade", "head")
    (tmp_path / "schemathesis.toml").write_text(SCHEMATHESIS)
    log = tmp_path / "log"
    with serving(project, log) as url:
        output = project.run(
            *("schemathesis.cli", "run", f"{url}/openapi.json", "--no-color"),
            *("--header", f"Authorization: Bearer {TOKEN}"),
            *("--max-examples", "30", "--generation-deterministic"),
            # Hints about the generated data, which depend on the names of operations.
            *("--warnings", "off"),
            cwd=tmp_path,
        )
    assert "No issues found" in output
    assert "16 selected / 16 total" in output
    assert '"status": 5' not in log.read_text()
    assert "traceback" not in log.read_text()


@each_database
@pytest.mark.parametrize("others", [True, False], ids=["beside all others", "alone"])
def test_without_its_api_a_project_is_green(
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
def test_the_guide_to_the_api_tells_the_truth(
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

    def send(path: str, body: object = None, method: str | None = None) -> object:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url + path, content, method=method)
        request.add_header("Authorization", f"Bearer {TOKEN}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = response.read()
        return json.loads(answer) if answer else None

    project.alembic("upgrade", "head")
    project.alembic("revision", "--autogenerate", "--message", "add tasks")
    with serving(project, tmp_path / "log") as url:
        with pytest.raises(urllib.error.HTTPError, match="503"):
            send("/health/ready")
        project.alembic("upgrade", "head")
        send("/health/ready")
        task = {"id": 1, "title": "water the plants", "done": False}
        assert send("/tasks", {"title": "water the plants"}) == task
        assert send("/tasks?done=false") == {"items": [task], "next": None}
        send("/tasks/1", method="DELETE")
        assert send("/tasks") == {"items": [], "next": None}


@each_database
def test_the_oldest_fastapi_and_uvicorn_work(install: Install, database: str) -> None:
    project = install(answers(database))
    oldest = ("fastapi==0.121.0", "uvicorn==0.34.0", "httpx==0.28.0")
    command = ("pip", "install", "--python", project.python, *oldest)
    uv(project.env, *command, cwd=project.project.path)
    assert " passed" in project.run("pytest", "-p", "no:cacheprovider", "tests/api")
