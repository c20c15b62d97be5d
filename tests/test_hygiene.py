"""Tests that a project leaks nothing, runs as nobody special, and installs what is locked."""

import http.server
import json
import math
import re
import shutil
import sys
import threading
import tomllib
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from baking import TEMPLATE, Bake, BakedProject, run
from baking import environment as environment_of
from combinations import PROJECTS, Answers
from installing import UV_SETTINGS

each_project = pytest.mark.parametrize("answers", PROJECTS.values(), ids=PROJECTS)
needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
needs_make = pytest.mark.skipif(
    not shutil.which("make"), reason="make is not installed"
)

# Text that only a key looks like.
KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\bgh[opsu]_\w{36}|\bgithub_pat_\w"
    r"|\bglpat-\w|\bxox[abps]-\w|\bsk-[\w-]{20}|\bpypi-\w{16}|\beyJ[\w-]+\.eyJ"
)
# The values that addresses and settings give to what is secret.
PASSWORD = re.compile(
    r"""://[^\s:/@"'`{]*:([^\s@/"'`]+)@"""
    r"""|(?<![a-z{])[A-Z_]*(?:PASSWORD|SECRET|TOKEN|API_KEY)[ ]?[=:][ ]?(?:&\w+ )?([^\s#`]+)"""
)
# In examples and in compose.yaml for development; in the guide, that of a server long gone.
DOCUMENTED = re.compile(
    r"password|postgres|secret|guess|kT0v3XhGm1uYw9QzRb5dLA|\*{3}|\*password|\{password\}"
    r"|\$\{\w+:-(postgres)?\}"
)
CHANCE = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
# What is random, and known to everyone.
PUBLIC = re.compile(r"^ +- uses: \S+@[0-9a-f]{40} # v|^[0-9a-f]{64} +\S+\.py$")


def entropy(text: str) -> float:
    """Give the bits that each character carries, by how often it appears."""
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)


def looks_random(word: str) -> bool:
    """Tell whether a word is a long hexadecimal number, or mixes all kinds."""
    kinds = all(re.search(kind, word) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    return bool(re.fullmatch("[0-9a-f]{32,}", word) or kinds) and entropy(word) > 3.5


def secrets_in(name: str, line: str) -> list[str]:
    """List what looks like a secret in a line of a file."""
    found = KEY.findall(line)
    if not name.startswith("tests/"):
        values = [first or second for first, second in PASSWORD.findall(line)]
        found += [value for value in values if not DOCUMENTED.fullmatch(value)]
    if not PUBLIC.search(line):
        words = [word for word in CHANCE.findall(line) if looks_random(word)]
        found += [word for word in words if not DOCUMENTED.fullmatch(word)]
    return found


@each_project
def test_no_secret_is_rendered(baked: Bake, answers: Answers) -> None:
    project = baked(**answers)
    assert [
        (name, found)
        for name in project.files()
        for line in project.read(name).splitlines()
        if (found := secrets_in(name, line))
    ] == []


@pytest.mark.parametrize(
    "line",
    [
        "-----BEGIN RSA PRIVATE KEY-----",
        "POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:-hunter2}",
        "# DATABASE_URL=postgresql://user:hunter2@127.0.0.1:5432/app",
        "API_TOKEN=hunter2",
        'token = "Zx81kQpL0vN3sYw7Tb5RmC2d"',
        "key: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    ],
)
def test_a_secret_would_be_found(line: str) -> None:
    assert secrets_in("src/async_app/settings.py", line)


# What is sent nowhere


PRIVATE = (".env", ".env.production", ".env.local", "data/app.db", ".venv/installed")
PUBLISHED = (".env.example", "src/async_app/settings.py", "pyproject.toml", "uv.lock")


@needs_git
@each_project
def test_git_ignores_settings_and_data(
    tmp_path: Path, baked: Bake, answers: Answers
) -> None:
    env = environment_of(tmp_path)
    shutil.copy(baked(**answers).path / ".gitignore", tmp_path)
    run("git", "init", "--quiet", cwd=tmp_path, env=env)
    # It ends with 1 when there is nothing that it would ignore.
    said = run("git", "check-ignore", *PRIVATE, cwd=tmp_path, env=env).stdout
    assert said.split() == [*PRIVATE]
    run("git", "check-ignore", *PUBLISHED, cwd=tmp_path, env=env, status=1)


def sent_to_docker(project: BakedProject, path: str) -> bool:
    """Tell whether the last line of .dockerignore that matches lets a file through."""
    parts = path.split("/")
    parents = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    sent = True
    for line in project.read(".dockerignore").splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        # Here `**/` stands for any folder, and all other patterns count from the root.
        names = parts if "**/" in line else parents
        if any(
            fnmatch(name, pattern) and name.count("/") == pattern.count("/")
            for name in names
        ):
            sent = line.startswith("!")
    return sent


@each_project
def test_docker_gets_the_source_and_nothing_private(
    baked: Bake, answers: Answers
) -> None:
    project = baked(**answers)
    private = (*PRIVATE, ".git/config", "tests/conftest.py", "src/async_app/.env")
    assert [path for path in private if sent_to_docker(project, path)] == []
    needed = (*PUBLISHED[1:], "README.md", "LICENSE", "src/async_app/models/base.py")
    assert [path for path in needed if not sent_to_docker(project, path)] == []


# What runs without privileges


@each_project
def test_the_image_and_each_service_run_without_privileges(
    baked: Bake, answers: Answers
) -> None:
    project = baked(**answers)
    stage = project.read("Dockerfile").rpartition("\nFROM ")[2]
    (user,) = re.findall(r"^USER (.*)$", stage, re.MULTILINE)
    assert int(user) > 0
    assert not re.search(
        r"^(RUN|COPY|ADD) ", stage.partition("\nUSER ")[2], re.MULTILINE
    )
    if "compose.yaml" not in project.files():
        return
    for name, service in yaml.safe_load(project.read("compose.yaml"))[
        "services"
    ].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service and "cap_add" not in service, name
        # The image of the project has a user of its own.
        assert ("build" in service) != (service.get("user") in ("postgres", "redis"))
        # initdb writes, and the server writes its socket.
        assert service.get("read_only", False) is (name != "database"), name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


# What CI may do, and what it runs


@each_project
def test_workflows_pin_actions_and_may_only_read(baked: Bake, answers: Answers) -> None:
    check_workflow(baked(**answers).read(".github/workflows/ci.yml"))


def test_the_own_workflow_pins_actions_and_may_only_read() -> None:
    for path in (TEMPLATE / ".github" / "workflows").iterdir():
        check_workflow(path.read_text(encoding="utf-8"))


def check_workflow(text: str) -> None:
    """Check that tags that move, and rights that nobody needs, are in no workflow."""
    used = re.findall(r"uses: *(.*)", text)
    assert used
    pinned = r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+"
    assert [each for each in used if not re.fullmatch(pinned, each)] == []
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    # YAML 1.1 takes "on" for a boolean.
    assert "pull_request_target" not in workflow[True]
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            assert "secrets." not in str(step)


@each_project
def test_dependabot_looks_after_all_that_is_pinned(
    baked: Bake, answers: Answers
) -> None:
    project = baked(**answers)
    holds = {
        "uv": "pyproject.toml",
        "github-actions": ".github/workflows/ci.yml",
        "docker": "Dockerfile",
        "docker-compose": "compose.yaml",
    }
    config = yaml.safe_load(project.read(".github/dependabot.yml"))
    assert config["version"] == 2
    assert [each["package-ecosystem"] for each in config["updates"]] == [
        name for name, file in holds.items() if file in project.files()
    ]
    assert {each["directory"] for each in config["updates"]} == {"/"}


# What is installed


class Advisories(http.server.BaseHTTPRequestHandler):
    """Stands for the database of advisories, which tests cannot reach, and knows none."""

    asked: list[dict[str, str]]

    def do_POST(self) -> None:
        """Remember what was asked, and say that nothing is known."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        queries = json.loads(body)["queries"]
        self.asked += [query["package"] | query for query in queries]
        answer = json.dumps({"results": [{} for _ in queries]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.slow
@needs_make
def test_what_is_locked_is_what_is_installed_and_audited(
    tmp_path: Path, bake: Bake, uv_environment: dict[str, str]
) -> None:
    project = bake(**PROJECTS["sqlite"])
    env = uv_environment | UV_SETTINGS

    def make(target: str, *arguments: str, status: int = 0) -> str:
        command = ("make", target, *arguments, f"PYTHON={sys.executable}")
        done = run(*command, cwd=project.path, env=env, status=status)
        return done.stdout + done.stderr

    make("lock")
    assert "uv.lock" in project.files()
    # An old version that still fits: a lock is what is installed, not what is newest.
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
    run(
        python,
        "-m",
        "async_app.migrations",
        "upgrade",
        "head",
        cwd=project.path,
        env=env,
    )

    # What the image installs: no tools, and the project not as a link to its source.
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

    Advisories.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            said = make("audit", f"args=--service-url {address}")
        finally:
            server.shutdown()
            thread.join()
    assert "no known vulnerabilities" in said
    asked = {each["name"]: each["version"] for each in Advisories.asked}
    assert asked == {
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
