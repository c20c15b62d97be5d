"""Install rendered projects, migrate, run and test them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.combinations import DATABASES, ENDS, PAIRS, PROJECTS, SLUGS, Answers
from support.installing import Install, Installed, uv
from support.render import (
    BUILD_ARTIFACTS,
    COOKIECUTTER,
    TEMPLATE,
    Render,
    as_arguments,
    clean_environment,
    load_hook,
    run,
)

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="uses make and POSIX paths"
)
each_project = pytest.mark.parametrize("answers", PAIRS.values(), ids=PAIRS)
each_end = pytest.mark.parametrize("answers", ENDS.values(), ids=ENDS)

SERVER = ("127.0.0.1", 5432)

# Two models in new files: one beside the others, one in a sub-package.
INVOICE = '''"""Invoices."""

from sqlalchemy.orm import Mapped

from ..db import Model


class Invoice(Model):
    """Invoice of a customer."""

    number: Mapped[str]
'''
ORDER = '''"""Orders."""

from sqlalchemy.orm import Mapped

from ..db import Model


class Order(Model):
    """Order of a customer."""

    amount: Mapped[int]
'''


def has_revisions(answers: Answers) -> bool:
    """Tell whether a project is rendered with revisions."""
    return bool(answers["sample_models"] or answers["search"])


@each_project
def test_its_own_tests_pass(installed: Install, answers: Answers) -> None:
    assert " passed" in installed(answers).run("pytest", "-p", "no:cacheprovider")


@each_end
def test_its_own_tests_pass_in_parallel(installed: Install, answers: Answers) -> None:
    assert " passed" in installed(answers).run(
        "pytest", "-p", "no:cacheprovider", "-n", "2"
    )


def test_its_own_tests_pass_on_an_external_server(installed: Install) -> None:
    try:
        socket.create_connection(SERVER, timeout=1).close()
    except OSError as error:
        pytest.skip(
            f"no PostgreSQL server answers at {SERVER[0]}:{SERVER[1]} ({error})"
        )
    project = installed(PROJECTS["postgresql"])
    url = f"postgresql://postgres@{SERVER[0]}:{SERVER[1]}/postgres"
    output = project.run("pytest", "-p", "no:cacheprovider", TEST_DATABASE_URL=url)
    assert " passed" in output


@each_project
def test_it_migrates_up_and_down_and_up_without_drift(
    install: Install, answers: Answers
) -> None:
    project = install(answers)
    for command in (["upgrade", "head"], ["check"], ["downgrade", "base"]) * 2:
        project.alembic(*command)
    project.alembic("upgrade", "head")
    assert ("(head)" in project.alembic("current")) == has_revisions(answers)


@each_end
def test_its_own_black_and_ruff_find_nothing(
    installed: Install, answers: Answers
) -> None:
    installed(answers).run("black", "--check", "--diff", "--quiet", ".")
    installed(answers).run("ruff", "check", "--no-cache", ".")


@each_end
def test_its_types_hold_under_every_name(
    tmp_path: Path, installed: Install, rendered: Render, answers: Answers
) -> None:
    # Dependencies do not depend on the slug: one environment and cache serve all.
    project = installed(answers)
    for slug in SLUGS:
        run(
            *(project.python, "-m", "mypy", "--strict", "--cache-dir", tmp_path),
            cwd=rendered(**answers, project_slug=slug).path,
            env=project.env,
        )


@each_end
def test_models_in_new_files_need_no_registration(
    install: Install, answers: Answers
) -> None:
    project = install(answers)
    package = project.project.package
    (package / "models" / "invoice.py").write_text(INVOICE)
    (package / "orders").mkdir()
    (package / "orders" / "__init__.py").write_text('"""The orders."""\n')
    (package / "orders" / "models.py").write_text(ORDER)
    before = set(project.project.files("versions/*.py"))
    project.alembic("upgrade", "head")
    project.alembic(
        "revision", "--autogenerate", "--message", "add invoices and orders"
    )
    (new,) = set(project.project.files("versions/*.py")) - before
    revision = project.project.read(new)
    for table in ("invoices", "orders"):
        assert f'create_table(\n        "{table}"' in revision
        assert f'drop_table("{table}")' in revision
    assert revision.count("create_table(") == 2
    for command in (
        ["upgrade", "head"],
        ["check"],
        ["downgrade", "-1"],
        ["upgrade", "head"],
    ):
        project.alembic(*command)
    project.run("black", "--check", "--diff", "--quiet", ".")
    project.run("ruff", "check", "--no-cache", ".")


@each_end
def test_the_names_of_installed_packages_are_reserved(
    installed: Install, answers: Answers
) -> None:
    project = installed(answers)
    script = (
        "import importlib.metadata as m;"
        "print(*m.packages_distributions(), *(d.name for d in m.distributions()))"
    )
    names = run(
        project.python, "-c", script, cwd=project.project.path, env=project.env
    ).stdout
    why_not = load_hook("pre_gen_project").why_not
    assert [
        name
        for name in (
            each.lower().replace("-", "_").replace(".", "_") for each in names.split()
        )
        # Modules compiled by mypyc have random names.
        if not name.endswith("__mypyc")
        and name != project.project.slug
        and not why_not(name)
    ] == []


@each_end
def test_alembic_works_from_anywhere(
    tmp_path: Path, installed: Install, answers: Answers
) -> None:
    project = installed(answers)
    output = project.alembic(
        "--config", project.project.path / "alembic.ini", "heads", cwd=tmp_path
    )
    assert ("(head)" in output) == has_revisions(answers)
    assert list(tmp_path.iterdir()) == []


@each_end
def test_a_wheel_of_it_migrates_from_anywhere(
    tmp_path: Path, installed: Install, answers: Answers
) -> None:
    project = installed(answers)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    env = project.env
    uv(
        env,
        "build",
        "--wheel",
        "--out-dir",
        tmp_path / "dist",
        project.project.path,
        cwd=tmp_path,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    uv(env, "venv", "--python", sys.executable, "deployed", cwd=tmp_path)
    python = tmp_path / "deployed" / "bin" / "python"
    uv(env, "pip", "install", "--python", python, wheel, cwd=tmp_path)
    if answers["database"] == "sqlite":
        env = env | {"DATABASE_URL": f"sqlite:///{elsewhere / 'app.db'}"}
    deployed = Installed(project.project, env)
    command_line = (python, "-m", project.project.slug, "db")
    for command in (
        ["upgrade", "head"],
        ["check"],
        ["downgrade", "base"],
        ["upgrade", "head"],
    ):
        server = deployed if answers["database"] == "sqlite" else project
        server.run_with_database(*command_line, *command, cwd=elsewhere)
    # The file, SQLite's own files beside it, and the copy made before the downgrade.
    assert [path.name for path in elsewhere.iterdir() if path.suffix[:3] != ".db"] == [
        path.name for path in elsewhere.glob("app.db.*.copy")
    ]


@each_end
def test_it_runs_with_system_tools_only(tmp_path: Path, answers: Answers) -> None:
    folder = tmp_path / "a folder with é"
    folder.mkdir()
    env = clean_environment(tmp_path / "home")
    run(
        *(*COOKIECUTTER, str(TEMPLATE), "--no-input", *as_arguments(answers)),
        cwd=folder,
        env=env,
    )
    project = folder / "async_app"
    # With an API, `make run` serves until a signal ends it.
    target = "seed" if answers.get("api") else "run"
    first = run("make", target, cwd=project, env=env)
    second = run("make", target, cwd=project, env=env)
    if answers["sample_models"]:
        assert first.stdout.strip() and second.stdout.strip()
    assert " passed" in run("make", "test", cwd=project, env=env).stdout


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_the_embedded_server_outlives_its_command(
    install: Install, sent: signal.Signals
) -> None:
    project = install(PROJECTS["postgresql-bare"])
    finish = (
        "import asyncio, os, signal, sys, time\n"
        "def end(*_):\n"
        "    time.sleep(1)\n"
        "    from async_app.db import Database\n"
        "    from async_app.settings import Settings\n"
        "    asyncio.run(Database(Settings()).ping())\n"
        "    os.write(1, b'finished\\n')\n"
        "    sys.exit(7)\n"
        "for each in (signal.SIGINT, signal.SIGTERM):\n"
        "    signal.signal(each, end)\n"
        # The signal may arrive while print still holds the lock of stdout.
        "os.write(1, b'started\\n')\n"
        "time.sleep(60)\n"
    )
    script = project.project.path / "scripts" / "embedded_postgres.py"
    with subprocess.Popen(
        [project.python, script, project.python, "-c", finish],
        cwd=project.project.path,
        env=project.env,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C goes to all processes of a terminal.
        start_new_session=True,
    ) as served:
        assert served.stdout is not None
        assert served.stdout.readline() == "started\n"
        if sent is signal.SIGINT:
            os.killpg(served.pid, sent)
        else:
            served.send_signal(sent)
        output, _ = served.communicate(timeout=60)
    assert (output, served.returncode) == ("finished\n", 7)


@pytest.mark.parametrize("database", DATABASES)
def test_the_demo_of_a_fresh_clone_runs(tmp_path: Path, database: str) -> None:
    clone = tmp_path / "a clone with é"
    shutil.copytree(TEMPLATE, clone, ignore=shutil.ignore_patterns(*BUILD_ARTIFACTS))
    env = clean_environment(tmp_path / "home")
    for _ in range(2):
        run("make", "demo", f"database={database}", cwd=clone, env=env)
    assert (clone / "build" / database / "async_app" / "pyproject.toml").exists()
