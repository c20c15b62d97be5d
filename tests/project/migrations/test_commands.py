"""Test Alembic's commands: from any folder, with any URL; progress, heads, messages."""

import re
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from support.migrating import (
    CREATE_THINGS,
    THING,
    TWO_TABLES,
    Create,
    MigratedProject,
    failure_line,
    on_each,
)
from support.render import run


@on_each
def test_a_fresh_project_goes_up_and_down(
    database: str, create_project: Create
) -> None:
    project = create_project(database)
    project.alembic("upgrade head", "check")
    assert project.tables() and (database == "sqlite" or project.enums())
    project.alembic("downgrade base")
    assert project.tables() == project.enums() == []
    project.alembic("upgrade head", "check")


@on_each
def test_any_password_and_any_folder_work(
    project: MigratedProject, tmp_path: Path
) -> None:
    project.write_models(THING)
    project.autogenerate()
    ini = project.rendered.path / "alembic.ini"
    run(
        *(project.python.with_name("alembic"), "-c", ini, "upgrade", "head"),
        cwd=tmp_path,
        env={k: v for k, v in project.variables.items() if k != "PYTHONPATH"},
    )
    ini.unlink()
    command_line = (project.python, "-m", "async_app", "db")
    variables = project.variables
    if project.database == "postgresql":
        password = "p%40ss%w@rd:/#x' \"&é"
        quoted = password.replace("'", "''")
        role = f"role_{uuid4().hex}"
        project.sql(f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{quoted}'")
        url = urlsplit(project.url)
        del variables["DATABASE_URL"]
        variables |= {
            "POSTGRES_HOST": str(url.hostname),
            "POSTGRES_PORT": str(url.port),
            "POSTGRES_USER": role,
            "POSTGRES_PASSWORD": password,
            "POSTGRES_DB": url.path[1:],
        }
    for command in (["check"], ["downgrade", "base"], ["upgrade", "head"]):
        run(*command_line, *command, cwd=Path("/"), env=variables)
    assert project.tables() == ["things"]
    if project.database == "postgresql":
        variables["POSTGRES_PASSWORD"] = "wrong"
        done = run(*command_line, "check", cwd=Path("/"), env=variables, status=255)
        assert "cannot connect to postgresql" in done.stderr
        assert "wrong" not in done.stderr and "Traceback" not in done.stderr


@on_each
def test_an_error_of_the_database_names_the_line(
    project: MigratedProject,
) -> None:
    project.write_revision("one", CREATE_THINGS)
    path = project.write_revision(
        "two", TWO_TABLES + '    op.execute("SELECT nothing")'
    )
    output = project.alembic("upgrade head", status=255)
    message = failure_line(output)
    number = path.read_text().splitlines().index('    op.execute("SELECT nothing")') + 1
    assert f"{path.name}:{number}: " in message and "nothing" in message
    # SQLite rolls back the whole run, PostgreSQL the revision.
    assert project.tables() == ([] if project.database == "sqlite" else ["things"])
    path.write_text(path.read_text().replace("SELECT nothing", "SELECT 1"))
    project.alembic("upgrade head")
    assert project.tables() == ["left", "right", "things"]


@on_each
def test_two_heads_and_a_newer_database_are_one_sentence(
    project: MigratedProject,
) -> None:
    one = project.write_revision("one", CREATE_THINGS)
    project.alembic("upgrade head")
    two = project.write_revision("two", "pass")
    three = project.write_revision("three", "pass")
    three.write_text(
        three.read_text().replace("down_revision = 'two'", "down_revision = 'one'")
    )
    output = project.alembic("upgrade head", status=255)
    message = failure_line(output)
    assert "Multiple head revisions" in message
    project.alembic("merge -m merged two three", "upgrade head")
    (merged,) = project.versions.glob("*merged.py")
    name = merged.name
    for path in (two, three, merged):
        path.unlink()
    ahead = project.version()[0]
    for command in ("upgrade head", "downgrade -1", "current", "check"):
        output = project.alembic(command, status=255)
        message = failure_line(output)
        assert f"the database is at revision {ahead}" in message, (command, name)
    assert one.exists()


@on_each
def test_each_step_is_logged_with_number_total_and_time(
    project: MigratedProject,
) -> None:
    names = [f"step{number}" for number in range(12)]
    for name in names:
        project.write_revision(name, "pass")
    output = project.alembic("upgrade head", "downgrade -2")
    lines = re.findall(r"(applied|reverted) (\d+)/(\d+) (\S+) in \d+\.\d s", output)
    assert lines[:12] == [
        ("applied", str(number), "12", f"{number - 1:03}_step{number - 1}")
        for number in range(1, 13)
    ]
    assert lines[12:] == [
        ("reverted", "1", "2", "011_step11"),
        ("reverted", "2", "2", "010_step10"),
    ]


@on_each
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def upgrade(:", "broken.py:1: SyntaxError: invalid syntax. "),
        ("\nimport nothing", "broken.py:2: ModuleNotFoundError: No module named"),
        ("<<<<<<< HEAD", "broken.py:1: SyntaxError: "),
        ('revision, down_revision = "b1", "a9"', "no file has revision 'a9', which"),
    ],
)
def test_a_broken_revision_is_one_sentence(
    project: MigratedProject, text: str, message: str
) -> None:
    project.write_revision("one", CREATE_THINGS)
    project.alembic("upgrade head")
    (project.versions / "broken.py").write_text(text)
    for command in ("check", "upgrade head"):
        assert message in failure_line(project.alembic(command, status=255))
    for command in ("db history", "db rebase", "doctor"):
        done = run(
            project.python,
            *("-m", "async_app", *command.split()),
            cwd=project.rendered.path,
            env=project.variables,
            status=1,
        )
        output = done.stdout + done.stderr
        assert message in output and "Traceback" not in output
    assert re.search("ok +database +ready", output)
    (project.versions / "broken.py").unlink()
    project.alembic("upgrade head")
