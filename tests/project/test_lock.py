"""Test that the lock is what `make setup`, the image and `make audit` use."""

import http.server
import json
import re
import shutil
import sys
import threading
import tomllib
from pathlib import Path

import pytest

from support.combinations import PROJECTS
from support.installing import UV_SETTINGS
from support.render import Render, run

pytestmark = pytest.mark.skipif(
    not shutil.which("make"), reason="make is not installed"
)


class Advisories(http.server.BaseHTTPRequestHandler):
    """Fake database of advisories, without any entry."""

    queried: list[dict[str, str]]

    def do_POST(self) -> None:
        """Record the queries, and answer each with no vulnerability."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        queries = json.loads(body)["queries"]
        self.queried += [query["package"] | query for query in queries]
        answer = json.dumps({"results": [{} for _ in queries]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_setup_image_and_audit_use_the_lock(
    tmp_path: Path, render: Render, uv_environment: dict[str, str]
) -> None:
    project = render(**PROJECTS["sqlite"])
    env = uv_environment | UV_SETTINGS

    def make(target: str, *arguments: str, status: int = 0) -> str:
        command = ("make", target, *arguments, f"PYTHON={sys.executable}")
        done = run(*command, cwd=project.path, env=env, status=status)
        return done.stdout + done.stderr

    make("lock")
    assert "uv.lock" in project.files()
    # An older version, to see that the lock decides and not the index.
    make("lock", "args=--upgrade-package sqlalchemy==2.0.44")
    locked = {
        package["name"]: package["version"]
        for package in tomllib.loads(project.read("uv.lock"))["package"]
    }
    assert locked["sqlalchemy"] == "2.0.44"
    make("setup")
    python = project.path / ".venv" / "bin" / "python"
    listed = run(python, "-m", "pip", "list", "--format=json", cwd=tmp_path, env=env)
    installed = {each["name"]: each["version"] for each in json.loads(listed.stdout)}
    assert installed["SQLAlchemy"] == "2.0.44"
    assert installed["pytest"] == locked["pytest"]
    command = ("-m", "async_app", "db", "upgrade", "head")
    run(python, *command, cwd=project.path, env=env)

    # The image installs no tools, and not a link to the source.
    (line,) = re.findall(
        r"UV_PROJECT_ENVIRONMENT=/app (uv sync .*);", project.read("Dockerfile")
    )
    run(
        sys.executable,
        "-m",
        "venv",
        "--without-pip",
        tmp_path / "app",
        cwd=tmp_path,
        env=env,
    )
    app = {"UV_PROJECT_ENVIRONMENT": str(tmp_path / "app")}
    words = line.replace("--no-cache ", "").removesuffix(" \\").split()
    run(
        project.path / ".venv" / "bin" / words[0],
        *words[1:],
        cwd=project.path,
        env=env | app,
    )
    (site,) = (tmp_path / "app").glob("lib/*/site-packages")
    assert (site / "async_app" / "settings.py").exists()
    assert (site / f"sqlalchemy-{locked['sqlalchemy']}.dist-info").exists()
    assert not (site / "pytest").exists()

    Advisories.queried = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            output = make("audit", f"args=--service-url {url}")
        finally:
            server.shutdown()
            thread.join()
    assert "no known vulnerabilities" in output
    queried = {each["name"]: each["version"] for each in Advisories.queried}
    assert queried == {
        name: version for name, version in locked.items() if name != "async-app"
    }

    pyproject = project.path / "pyproject.toml"
    text = project.read("pyproject.toml")
    pyproject.write_text(
        text.replace("pydantic-settings>=2.7", "pydantic-settings>=2.7.1")
    )
    assert "--locked" in make("setup", status=2)
    assert "--locked" in make("audit", status=2)
    make("lock")
    make("setup")
