"""Test concurrent upgrades, upgrades beside readers, and concurrent indexes."""

import re

import pytest

from support import pgbouncer
from support.migrating import (
    CREATE_THINGS,
    TIMEOUT_SECONDS,
    MigratedProject,
    on_each,
    on_postgresql,
)
from support.render import TEMPLATE


@on_each
def test_eight_upgrades_apply_each_revision_once(project: MigratedProject) -> None:
    def applied(outputs: list[str]) -> list[str]:
        return re.findall(r"applied \d+/\d+ (\S+) in ", "\n".join(outputs))

    names = ["one", "two", "three"]
    for name in names:
        project.write_revision(
            name,
            f'op.create_table("{name}", sa.Column("id", sa.Integer()))\nreach("x")',
        )
    outputs = project.upgrade_concurrently(8)
    assert applied(outputs) == ["000_one", "001_two", "002_three"]
    assert project.tables() == sorted(names)
    project.sql("INSERT INTO one VALUES (1)")

    create = "op.create_index('ix_one', 'one', ['id'])"
    if project.database == "postgresql":
        create = (
            "from async_app.db.migration.online import create_index_concurrently\n"
            "create_index_concurrently('ix_one', 'one', ['id'])"
        )
    project.write_revision(
        "four", 'op.create_table("four", sa.Column("id", sa.Integer()))'
    )
    project.write_revision("five", create)
    project.write_revision("six", 'op.execute("INSERT INTO four VALUES (1)")')
    outputs = project.upgrade_concurrently(8)
    assert applied(outputs) == ["003_four", "004_five", "005_six"]
    assert project.version() == ["six"]
    assert project.sql("SELECT * FROM four") == ["1"]
    if project.database == "postgresql":
        assert project.sql(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_one'::regclass"
        ) == ["t"]
        assert project.sql(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        ) == ["0"]


@on_postgresql
def test_eight_upgrades_through_a_pooler_leave_no_lock(
    project: MigratedProject,
) -> None:
    for name in ("one", "two"):
        project.write_revision(
            name, f'op.create_table("{name}", sa.Column("id", sa.Integer()))'
        )
    project.write_revision(
        "three",
        "from async_app.db.migration.online import create_index_concurrently\n"
        "create_index_concurrently('ix_one', 'one', ['id'])",
    )
    try:
        with pgbouncer.run(project.url, TEMPLATE / ".cache" / "pgbouncer") as pooled:
            outputs = project.upgrade_concurrently(
                8, DATABASE_URL=pooled, DATABASE_POOLER="transaction"
            )
            locks = project.sql(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            )
    except pgbouncer.PgBouncerUnavailableError as error:
        pytest.skip(f"no PgBouncer: {error}")
    applied = re.findall(r"applied \d+/\d+ (\S+) in ", "\n".join(outputs))
    assert applied == ["000_one", "001_two", "002_three"]
    assert locks == ["0"]
    assert project.tables() == ["one", "two"]


@on_postgresql
def test_an_upgrade_retries_while_a_reader_holds_its_table(
    project: MigratedProject,
) -> None:
    project.write_revision("one", CREATE_THINGS)
    project.alembic("upgrade head")
    project.write_revision(
        "two", 'op.add_column("things", sa.Column("size", sa.Integer()))'
    )
    safety = project.rendered.package / "db" / "migration" / "safety.py"
    text = safety.read_text()
    (delays,) = re.findall(r"^RETRY_DELAYS_SECONDS = .*$", text, re.MULTILINE)

    with project.open_read_transaction("things") as end:
        safety.write_text(text.replace(delays, "RETRY_DELAYS_SECONDS = (0.1,)"))
        output = project.alembic(
            "upgrade head", status=255, DATABASE_LOCK_TIMEOUT="0.2"
        )
        assert output.count("retrying in") == 1 and "lock timeout" in output
        assert project.version() == ["one"]

        many = f"RETRY_DELAYS_SECONDS = {(0.1,) * 600}"
        safety.write_text(text.replace(delays, many))
        upgrade = project.start_alembic("upgrade", "head", DATABASE_LOCK_TIMEOUT="0.2")
        assert upgrade.stdout is not None
        for _ in range(3):
            while "retrying in" not in (line := upgrade.stdout.readline()):
                assert line, "the upgrade has ended"
            # Without its timeout, the upgrade would block this reader for ever.
            assert project.sql("SELECT count(*) FROM things") == ["1"]
        end()
        output, _ = upgrade.communicate(timeout=TIMEOUT_SECONDS)
        assert upgrade.returncode == 0 and "applied 1/1 001_two" in output
    assert project.sql("SELECT * FROM things") == ["1|kept|"]


CONCURRENTLY = """
    from async_app.db.migration.online import create_index_concurrently
    create_index_concurrently("ix_things_name", "things", ["name"], unique=True)
"""
DROP_CONCURRENTLY = """
    from async_app.db.migration.online import drop_index_concurrently
    drop_index_concurrently("ix_things_name", "things")
"""


@on_postgresql
def test_a_concurrent_index_replaces_an_invalid_one(
    project: MigratedProject,
) -> None:
    def index() -> list[str]:
        return project.sql(
            "SELECT indexrelid, indisvalid FROM pg_index"
            " WHERE indexrelid = to_regclass('ix_things_name')"
        )

    project.write_revision("one", CREATE_THINGS)
    project.write_revision("two", CONCURRENTLY, DROP_CONCURRENTLY)
    project.alembic("upgrade one")
    project.sql("INSERT INTO things VALUES (2, 'kept')")
    output = project.alembic("upgrade head", status=255)
    assert "kept" in output or "could not create unique index" in output
    (invalid,) = index()
    assert invalid.endswith("|f")
    project.sql("DELETE FROM things WHERE id = 2")
    project.alembic("upgrade head")
    (valid,) = index()
    assert valid.endswith("|t")
    # The same state as after a kill between the index and the version.
    project.sql("UPDATE alembic_version SET version_num = 'one'")
    project.alembic("upgrade head")
    assert index() == [valid]
    project.alembic("downgrade -1")
    assert index() == []
    project.alembic("upgrade head")
    assert index()[0].endswith("|t")
