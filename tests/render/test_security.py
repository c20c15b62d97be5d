"""Test that a project leaks no secret, runs without privileges and pins its actions."""

import math
import re
import shutil
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from support.combinations import PROJECTS, Answers
from support.render import TEMPLATE, Render, RenderedProject, clean_environment, run

each_project = pytest.mark.parametrize("answers", PROJECTS.values(), ids=PROJECTS)
needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")

# Text that looks like a key.
KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\bgh[opsu]_\w{36}|\bgithub_pat_\w"
    r"|\bglpat-\w|\bxox[abps]-\w|\bsk-[\w-]{20}|\bpypi-\w{16}|\beyJ[\w-]+\.eyJ"
)
# Passwords in URLs, and values of secret settings.
PASSWORD = re.compile(
    r"""://[^\s:/@"'`{]*:([^\s@/"'`]+)@"""
    r"""|(?<![a-z{])[A-Z_]*(?:PASSWORD|SECRET|TOKEN|API_KEY)[ ]?[=:][ ]?(?:&\w+ )?([^\s#`]+)"""
)
# Passwords of examples, of compose.yaml for development, and of the server in the guide.
DOCUMENTED = re.compile(
    r"password|postgres|secret|guess|kT0v3XhGm1uYw9QzRb5dLA|\*{3}|\*password|\{password\}"
    r"|\$\{\w+:-(postgres)?\}"
)
RANDOM_WORD = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
# Random words that are public: commits of actions.
PUBLIC_LINE = re.compile(r"^ +- uses: \S+@[0-9a-f]{40} # v")


def entropy(text: str) -> float:
    """Return the bits per character, by the frequency of characters."""
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)


def looks_random(word: str) -> bool:
    """Tell whether a word is a long hexadecimal number, or mixes cases and digits."""
    kinds = all(re.search(kind, word) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    return bool(re.fullmatch("[0-9a-f]{32,}", word) or kinds) and entropy(word) > 3.5


def secrets_in(name: str, line: str) -> list[str]:
    """List the words of a line that look like secrets."""
    found = KEY.findall(line)
    if not name.startswith("tests/"):
        values = [first or second for first, second in PASSWORD.findall(line)]
        found += [value for value in values if not DOCUMENTED.fullmatch(value)]
    if not PUBLIC_LINE.search(line):
        words = [word for word in RANDOM_WORD.findall(line) if looks_random(word)]
        found += [word for word in words if not DOCUMENTED.fullmatch(word)]
    return found


@each_project
def test_no_secret_is_rendered(rendered: Render, answers: Answers) -> None:
    project = rendered(**answers)
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
def test_a_secret_is_found(line: str) -> None:
    assert secrets_in("src/async_app/settings.py", line)


# Files that git and Docker ignore


PRIVATE = (".env", ".env.production", ".env.local", "data/app.db", ".venv/installed")
PUBLISHED = (".env.example", "src/async_app/settings.py", "pyproject.toml", "uv.lock")


@needs_git
@each_project
def test_git_ignores_settings_and_data(
    tmp_path: Path, rendered: Render, answers: Answers
) -> None:
    env = clean_environment(tmp_path)
    shutil.copy(rendered(**answers).path / ".gitignore", tmp_path)
    run("git", "init", "--quiet", cwd=tmp_path, env=env)
    # Git exits with 1 if it ignores none of the files.
    ignored = run("git", "check-ignore", *PRIVATE, cwd=tmp_path, env=env).stdout
    assert ignored.split() == [*PRIVATE]
    run("git", "check-ignore", *PUBLISHED, cwd=tmp_path, env=env, status=1)


def sent_to_docker(project: RenderedProject, path: str) -> bool:
    """Tell whether the last matching line of .dockerignore includes a file."""
    parts = path.split("/")
    parents = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    sent = True
    for line in project.read(".dockerignore").splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        # Patterns with `**/` match in any folder, all others from the root.
        names = parts if "**/" in line else parents
        if any(
            fnmatch(name, pattern) and name.count("/") == pattern.count("/")
            for name in names
        ):
            sent = line.startswith("!")
    return sent


@each_project
def test_docker_sees_the_source_and_nothing_private(
    rendered: Render, answers: Answers
) -> None:
    project = rendered(**answers)
    private = (*PRIVATE, ".git/config", "tests/conftest.py", "src/async_app/.env")
    assert [path for path in private if sent_to_docker(project, path)] == []
    needed = (*PUBLISHED[1:], "README.md", "LICENSE", "src/async_app/db/base.py")
    assert [path for path in needed if not sent_to_docker(project, path)] == []


# Privileges


@each_project
def test_the_image_and_each_service_run_without_privileges(
    rendered: Render, answers: Answers
) -> None:
    project = rendered(**answers)
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
        # The project's own image sets a user.
        assert ("build" in service) != (service.get("user") in ("postgres", "redis"))
        # PostgreSQL writes outside of its volumes: initdb, and the server's socket.
        assert service.get("read_only", False) is (name != "database"), name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


# CI


@each_project
def test_workflows_pin_actions_and_may_only_read(
    rendered: Render, answers: Answers
) -> None:
    check_workflow(rendered(**answers).read(".github/workflows/ci.yml"))


def test_our_own_workflow_pins_actions_and_may_only_read() -> None:
    for path in (TEMPLATE / ".github" / "workflows").iterdir():
        check_workflow(path.read_text(encoding="utf-8"))


def check_workflow(text: str) -> None:
    """Check that a workflow pins its actions to commits and has no needless rights."""
    used = re.findall(r"uses: *(.*)", text)
    assert used
    pinned = r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+"
    assert [each for each in used if not re.fullmatch(pinned, each)] == []
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    # YAML 1.1 reads "on" as a boolean.
    assert "pull_request_target" not in workflow[True]
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            assert "secrets." not in str(step)


@each_project
def test_dependabot_updates_everything_that_is_pinned(
    rendered: Render, answers: Answers
) -> None:
    project = rendered(**answers)
    pinned_in = {
        "uv": "pyproject.toml",
        "github-actions": ".github/workflows/ci.yml",
        "docker": "Dockerfile",
        "docker-compose": "compose.yaml",
    }
    config = yaml.safe_load(project.read(".github/dependabot.yml"))
    assert config["version"] == 2
    assert [each["package-ecosystem"] for each in config["updates"]] == [
        name for name, file in pinned_in.items() if file in project.files()
    ]
    assert {each["directory"] for each in config["updates"]} == {"/"}
