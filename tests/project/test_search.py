"""Test projects with vector search: their migrations, without their search."""

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from support.combinations import DATABASES, Answers
from support.installing import Install, Installed
from support.render import run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX paths")
each_database = pytest.mark.parametrize("database", DATABASES)
each_project = pytest.mark.parametrize(
    "answers",
    [
        {"database": database, "search": True, "sample_models": sample_models}
        for database in DATABASES
        for sample_models in (True, False)
    ],
    ids=lambda answers: f"{answers['database']}-{answers['sample_models']}",
)

NOTE = '''"""Notes."""

from sqlalchemy.orm import Mapped, mapped_column

from ..db import Model
from ..search.vectors import Vector


class Note(Model):
    """Note with a vector."""

    meaning: Mapped[list[float]] = mapped_column(Vector(3))
'''


def check_all(project: Installed) -> None:
    """Run the tests, checks and migrations of a project."""
    assert " passed" in project.run("pytest", "-p", "no:cacheprovider")
    project.run("black", "--check", "--diff", "--quiet", ".")
    project.run("ruff", "check", "--no-cache", ".")
    project.run("mypy")
    for command in ("upgrade head", "check", "downgrade base", "upgrade head", "check"):
        project.alembic(*command.split())


@each_project
def test_a_project_is_green_with_its_search_and_without(
    install: Install, answers: Answers
) -> None:
    project = install(answers)
    check_all(project)
    shutil.rmtree(project.project.package / "search")
    shutil.rmtree(project.project.path / "tests" / "search")
    check_all(project)
    output = project.alembic("revision", "--autogenerate", "--message", "nothing")
    assert "nothing has changed" in output


@each_database
def test_a_revision_with_a_vector_imports_its_type_and_is_clean(
    install: Install, database: str
) -> None:
    project = install({"database": database, "search": True})
    package = project.project.package
    (package / "notes").mkdir()
    (package / "notes" / "__init__.py").write_text('"""The notes."""\n')
    (package / "notes" / "models.py").write_text(NOTE)
    before = set(project.project.files("versions/*.py"))
    project.alembic("upgrade", "head")
    project.alembic("revision", "--autogenerate", "--message", "add notes")
    (new,) = set(project.project.files("versions/*.py")) - before
    text = project.project.read(new)
    if database == "postgresql":
        assert "from pgvector.sqlalchemy.vector import VECTOR\n" in text
        assert 'sa.Column("meaning", VECTOR(dim=3), nullable=False)' in text
    else:
        assert 'sa.Column("meaning", sa.LargeBinary(), nullable=False)' in text
    assert "documents" not in text
    for command in ("upgrade head", "check", "downgrade -1", "upgrade head"):
        project.alembic(*command.split())
    project.run("black", "--check", "--diff", "--quiet", ".")
    project.run("ruff", "check", "--no-cache", ".")
    project.run("pytest", "-p", "no:cacheprovider", "tests/test_migrations.py")


@each_database
def test_a_changed_dimension_is_detected(install: Install, database: str) -> None:
    project = install({"database": database, "search": True})
    models = project.project.package / "search" / "models.py"
    project.alembic("upgrade", "head")
    models.write_text(models.read_text().replace("DIMENSION = 384", "DIMENSION = 5"))
    before = set(project.project.files("versions/*.py"))
    # The server's type has the dimension, so old vectors do not fit.
    named = ("-x", "allow-data-loss=documents.embedding")
    options = named if database == "postgresql" else ()
    project.alembic(
        *options, "revision", "--autogenerate", "--message", "use another model"
    )
    (new,) = set(project.project.files("versions/*.py")) - before
    changed = {"sqlite": "length(embedding) = 20", "postgresql": "VECTOR(dim=5)"}
    assert changed[database] in project.project.read(new)
    for command in ("upgrade head", "check", "downgrade -1", "upgrade head", "check"):
        project.alembic(*command.split())


def test_virtual_tables_without_a_model_are_ignored(
    install: Install,
) -> None:
    project = install({"database": "sqlite", "search": True})
    project.alembic("upgrade", "head")
    (file,) = (project.project.path / "data").glob("app.db")
    with closing(sqlite3.connect(file)) as connection, connection:
        # The same as CREATE VIRTUAL TABLE, for which this Python may lack the extension.
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "INSERT INTO sqlite_master VALUES ('table', 'vec_items', 'vec_items', 0,"
            " 'CREATE VIRTUAL TABLE vec_items USING vec0(embedding float[4])')"
        )
        for shadow in ("chunks", "rowids", "vector_chunks00"):
            connection.execute(
                f"CREATE TABLE vec_items_{shadow} (rowid INTEGER PRIMARY KEY, data BLOB)"
            )
    project.alembic("check")
    output = project.alembic("revision", "--autogenerate", "--message", "nothing")
    assert "nothing has changed" in output
    project.alembic("downgrade", "base")
    with closing(sqlite3.connect(file)) as connection:
        names = connection.execute(
            "SELECT count(*) FROM sqlite_master WHERE name GLOB 'vec_items*'"
        )
        assert names.fetchone() == (4,)


def test_a_missing_pgvector_is_reported_in_one_sentence(install: Install) -> None:
    project = install({"database": "postgresql", "search": True})
    controls = [*Path(project.project.path, ".venv").rglob("vector.control")]
    assert controls
    for control in controls:
        control.unlink()
    script = project.project.path / "scripts" / "embedded_postgres.py"
    alembic = project.python.with_name("alembic")
    done = run(
        *(project.python, script, alembic, "upgrade", "head"),
        cwd=project.project.path,
        env=project.env,
        status=None,
    )
    assert done.returncode != 0
    output = done.stdout + done.stderr
    sentence = (
        "vector search needs the extension pgvector 0.8 or newer, and this server"
    )
    assert sentence in output
    assert "Traceback" not in output
