"""Test that a failed or killed upgrade leaves nothing, and can be repeated."""

import pytest

from support.migrating import (
    CREATE_THINGS,
    TWO_TABLES,
    MigratedProject,
    failure_line,
    on_each,
    on_postgresql,
    on_sqlite,
    wait_until,
)
from support.render import run


@on_each
def test_a_failed_or_killed_upgrade_can_be_repeated(project: MigratedProject) -> None:
    project.write_revision("one", CREATE_THINGS)
    project.alembic("upgrade head")
    project.write_revision(
        "two", TWO_TABLES, 'op.drop_table("left")\nop.drop_table("right")'
    )
    before = project.schema()
    for moment in ("start", "middle", "end"):
        project.kill_at(moment)
        assert (project.version(), project.schema()) == (["one"], before)
    run(
        *(project.python.with_name("alembic"), "upgrade", "head"),
        cwd=project.rendered.path,
        env=project.variables | {"FAIL_AT": "middle"},
        status=1,
    )
    assert (project.version(), project.schema()) == (["one"], before)
    project.alembic("upgrade head", "downgrade -1", "upgrade head")
    assert project.tables() == ["left", "right", "things"]


@on_postgresql
def test_a_killed_clients_statement_does_not_block_the_next(
    project: MigratedProject,
) -> None:
    project.write_revision("one", CREATE_THINGS)
    project.alembic("upgrade head")
    path = project.write_revision(
        "two",
        """
        op.add_column("things", sa.Column("size", sa.Integer()))
        if "REACHED" in os.environ:
            op.execute("SELECT pg_sleep(600)")
        """,
        'op.drop_column("things", "size")',
    )
    upgrade = project.start_alembic("upgrade", "head", REACHED="")
    sleeping = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep(600)%'"
    wait_until(lambda: bool(project.sql(sleeping)))
    upgrade.kill()
    upgrade.communicate()
    assert path.exists()
    project.alembic("upgrade head")
    assert project.sql("SELECT * FROM things") == ["1|kept|"]
    assert project.sql(sleeping) == []


@on_sqlite
def test_a_kill_while_a_table_is_rebuilt_keeps_the_old_one(
    project: MigratedProject,
) -> None:
    project.write_revision("one", CREATE_THINGS)
    project.alembic("upgrade head")
    before = project.schema()
    project.write_revision(
        "two",
        """
        @sa.event.listens_for(op.get_bind(), "before_cursor_execute")
        def on_statement(connection, cursor, statement, *_):
            for words in ("INSERT INTO _alembic_tmp_", "DROP TABLE", "ALTER TABLE"):
                if statement.strip().startswith(words):
                    reach(words.split()[0])

        with op.batch_alter_table("things", recreate="always") as batch:
            batch.add_column(sa.Column("size", sa.Integer()))
        """,
        'op.drop_column("things", "size")',
    )
    for moment in ("INSERT", "DROP", "ALTER"):
        project.kill_at(moment)
        assert (project.version(), project.schema()) == (["one"], before)
        assert project.sql("SELECT * FROM things") == ["1|kept"]
    project.alembic("upgrade head")
    assert project.sql("SELECT * FROM things") == ["1|kept|"]
    assert project.tables() == ["things"]


@on_each
@pytest.mark.parametrize(
    ("statement", "cure"),
    [
        ("SELECT 1; SELECT 2", "op.execute takes one statement: call it once for each"),
        ("SELECT ':1'", "a colon starts a parameter: write \\:"),
    ],
)
def test_sql_that_cannot_run_has_a_cure(
    project: MigratedProject, statement: str, cure: str
) -> None:
    path = project.write_revision("one", f"op.execute({statement!r})")
    message = failure_line(project.alembic("upgrade head", status=255))
    assert message.startswith(f"FAILED: {path.name}:") and cure in message
    project.write_revision(
        "one", f"op.execute({statement.split(';')[0].replace(':', chr(92) + ':')!r})"
    )
    project.alembic("upgrade head")
