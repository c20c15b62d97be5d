"""Test what autogenerate finds, ignores and refuses."""

import pytest

from support.migrating import (
    THING,
    MigratedProject,
    failure_line,
    on_each,
    on_postgresql,
)
from support.render import run


@on_each
def test_no_revision_is_written_without_models(project: MigratedProject) -> None:
    project.write_models(THING)
    project.autogenerate("upgrade head")
    files = project.rendered.files("versions/*.py")
    (project.rendered.package / "models" / "thing.py").unlink()
    for command in ("revision --autogenerate -m change", "check"):
        assert "no model was found" in project.alembic(command, status=255)
    assert project.rendered.files("versions/*.py") == files
    assert project.tables() == ["things"]


@on_each
def test_an_unchanged_schema_makes_no_revision(project: MigratedProject) -> None:
    project.write_models(THING)
    project.autogenerate("upgrade head")
    files = project.rendered.files("versions/*.py")
    output = project.alembic("revision --autogenerate -m change")
    assert "nothing has changed: no revision is written" in output
    assert project.rendered.files("versions/*.py") == files
    # Without --autogenerate, an empty revision is intended.
    project.alembic("revision -m by-hand", "upgrade head", "check")
    assert len(project.rendered.files("versions/*.py")) == len(files) + 1


@on_each
def test_a_connection_to_another_database_is_refused(project: MigratedProject) -> None:
    other = {"sqlite": "postgresql", "postgresql": "sqlite"}[project.database]
    output = project.run_python(f"""
        import sqlalchemy as sa
        from alembic import command
        from alembic.util import CommandError
        from async_app.migrations import directory
        from unittest.mock import Mock

        connection = Mock(in_transaction=lambda: False)
        connection.dialect.name = "{other}"
        config = directory.config()
        config.attributes["connection"] = connection
        try:
            command.revision(config, autogenerate=True, message="change")
        except CommandError as error:
            print(error)
        """)
    assert output == (
        f"the migrations are for {project.database}, the connection is to {other}\n"
    )
    assert project.rendered.files("versions/*.py") == []


@on_each
def test_constraints_get_names_and_are_dropped_again(
    project: MigratedProject,
) -> None:
    project.write_models("""
    class Owner(Model):
        name: Mapped[str]

    class Thing(Model):
        name: Mapped[str]
        size: Mapped[int]
        owner_id: Mapped[int | None]
    """)
    project.round_trip()
    project.write_models("""
    class Owner(Model):
        name: Mapped[str] = mapped_column(unique=True)

    class Thing(Model):
        name: Mapped[str] = mapped_column(index=True)
        size: Mapped[int]
        owner_id: Mapped[int | None] = mapped_column(
            ForeignKey("owners.id", ondelete="SET NULL")
        )
        __table_args__ = (
            UniqueConstraint("name", "size"),
            CheckConstraint("size > 0", name="size"),
            Index(None, "size", "name"),
        )
    """)
    project.alembic("check", status=255)
    text = project.round_trip()
    for name in (
        "uq_owners_name",
        "ix_things_name",
        "fk_things_owner_id_owners",
        "uq_things_name_size",
        "ck_things_size",
    ):
        assert text.count(f'op.f("{name}")') + text.count(f'("{name}"') >= 2, name
    assert "None," not in text.replace("None = None", "")
    # SQLite also finds a changed expression; both find a new name.
    module = project.rendered.package / "models" / "thing.py"
    changed = module.read_text().replace(
        '"size > 0", name="size"', '"size > 1", name="above"'
    )
    module.write_text(changed)
    assert "ck_things_above" in project.round_trip()
    project.alembic("downgrade base", "upgrade head", "check")


@on_each
def test_tables_of_other_programs_are_never_dropped(project: MigratedProject) -> None:
    project.write_models(THING)
    project.autogenerate("upgrade head")
    project.execute_all(
        "CREATE TABLE spatial_ref_sys (id integer PRIMARY KEY)",
        "CREATE INDEX theirs ON spatial_ref_sys (id)",
        # A word that is in our history, too, as a column.
        "CREATE TABLE name (id integer PRIMARY KEY)",
    )
    if project.database == "postgresql":
        project.sql("CREATE TYPE their_mood AS ENUM ('calm', 'glad')")
    output = project.alembic("check", "revision --autogenerate -m change")
    assert "nothing has changed" in output
    # A table that a revision creates without a model is ours, unless it is ignored.
    (first,) = project.version()
    (project.versions / "9999_audit.py").write_text(f'''"""Audit."""
import sqlalchemy as sa
from alembic import op
revision = "audit"
down_revision = "{first}"

def upgrade():
    op.create_table("audit_log", sa.Column("id", sa.Integer()))

def downgrade():
    op.drop_table("audit_log")
''')
    project.alembic("upgrade head")
    output = project.alembic("revision --autogenerate -m change", status=255)
    assert "audit_log: the table would be dropped with its rows" in output
    module = project.rendered.package / "db" / "migration" / "autogenerate.py"
    text = module.read_text()
    assert "IGNORED_TABLES: tuple[str, ...] = ()" in text
    module.write_text(
        text.replace(
            "IGNORED_TABLES: tuple[str, ...] = ()", 'IGNORED_TABLES = ("audit_*",)'
        )
    )
    project.alembic("check")


@on_postgresql
def test_a_constraint_that_is_not_valid_yet_is_no_difference(
    project: MigratedProject,
) -> None:
    project.write_models("""
    class Thing(Model):
        size: Mapped[int]
    """)
    project.autogenerate()
    before = set(project.versions.glob("*.py"))
    project.alembic("revision -m validate_later")
    (revision,) = set(project.versions.glob("*.py")) - before
    up, down = (
        f"op.execute('ALTER TABLE things {what} CONSTRAINT ck_things_positive{rest}')"
        for what, rest in (("ADD", " CHECK (size > 0) NOT VALID"), ("DROP", ""))
    )
    text = revision.read_text().replace("    pass\n", f"    {up}\n", 1)
    revision.write_text(text.replace("    pass\n", f"    {down}\n", 1))
    project.write_models("""
    class Thing(Model):
        size: Mapped[int]
        __table_args__ = (CheckConstraint("size > 0", name="positive"),)
    """)
    project.alembic("upgrade head", "check")
    run(
        *(project.python, "-m", "pytest", "-p", "no:cacheprovider"),
        "tests/test_migrations.py",
        cwd=project.rendered.path,
        env=project.variables | {"TEST_DATABASE_URL": project.url},
    )


LONG_BY_CONVENTION = f"""
    class Thing(Model):
        __tablename__ = "{'t' * 40}"
        {'x' * 40}: Mapped[int] = mapped_column(ForeignKey("{'t' * 40}.id"), index=True)
        __table_args__ = (
            UniqueConstraint("{'x' * 40}"), CheckConstraint("id > 0", name="{'c' * 60}")
        )
"""


@on_postgresql
def test_a_long_name_is_shortened_or_refused(project: MigratedProject) -> None:
    project.write_models(LONG_BY_CONVENTION)
    project.round_trip()
    name = "x" * 64
    for line in (
        f'__tablename__ = "{name}"',
        f"{name}: Mapped[int]",
        f'kind: Mapped[str] = mapped_column(sa.Enum("a", name="{name}"))',
        f'key: Mapped[int] = mapped_column(ForeignKey("things.id", name="{name}"))',
        f'__table_args__ = (Index("{name}", "size"),)',
        f'__table_args__ = (UniqueConstraint("size", name="{name}"),)',
    ):
        project.write_models(f"{THING}        size: Mapped[int]\n        {line}\n")
        message = failure_line(project.alembic("check", status=255))
        assert name in message and " 63 " in message
    index = f'op.create_index("{name}", "alembic_version", ["version_num"])'
    path = project.write_revision("long", index)
    message = failure_line(project.alembic("upgrade heads", status=255))
    assert message.startswith(f"FAILED: {path.name}:") and name in message


@on_each
@pytest.mark.parametrize(
    "line",
    [
        '__table_args__ = (CheckConstraint("size > 0"),)',
        'kind: Mapped[str] = mapped_column(sa.Enum("a", native_enum=False, create_constraint=True))',
    ],
)
def test_a_check_without_a_name_is_refused(project: MigratedProject, line: str) -> None:
    project.write_models(f"{THING}        size: Mapped[int]\n        {line}\n")
    message = failure_line(
        project.alembic("revision --autogenerate -m x", "upgrade head", status=255)
    )
    assert "a CheckConstraint of the table things needs name=…: " in message
