"""Test the helpers for change under load: repeated, killed, beside writers."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from support.migrating import (
    TIMEOUT_SECONDS,
    MigratedProject,
    failure_line,
    on_postgresql,
    wait_until,
)

ONLINE = "from async_app.db.migration import online\n"

# Names with capitals and spaces in a schema; row 2 violates whatever a helper adds.
TABLES = """
CREATE SCHEMA "My Shop";
CREATE TABLE "My Shop"."Owners" ("Id" int PRIMARY KEY);
CREATE TABLE "My Shop"."Order Lines" ("Id" int PRIMARY KEY, "Name" text, "Owner" int);
INSERT INTO "My Shop"."Owners" VALUES (1);
INSERT INTO "My Shop"."Order Lines" VALUES (1, 'a', 1), (2, 'a', 9), (3, NULL, 1);
"""
LINES = '"My Shop"."Order Lines"'


@dataclass(frozen=True)
class Helper:
    """A helper, what rows it fails on, and what it makes."""

    call: str
    error: str
    left: str
    fix: str
    made: str


INDEX = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{0}')"
CONSTRAINT = "SELECT convalidated FROM pg_constraint WHERE conname = '{0}'"
# Any change of a table, an index or a constraint shows in it.
OBJECTS = (
    "SELECT array_agg(xmin ORDER BY oid), (SELECT max(oid) FROM pg_constraint)"
    " FROM pg_class WHERE relname IN ('Order Lines', 'Owners', 'Ix Name')"
)
HELPERS = {
    "create_index_concurrently": Helper(
        'online.create_index_concurrently("Ix Name", "Order Lines", ["Name"],'
        ' schema="My Shop", unique=True)',
        "could not create unique index",
        'DROP INDEX CONCURRENTLY IF EXISTS "My Shop"."Ix Name"',
        f'UPDATE {LINES} SET "Name" = \'b\' WHERE "Id" = 2',
        INDEX.format('"My Shop"."Ix Name"'),
    ),
    "add_foreign_key": Helper(
        'online.add_foreign_key("Fk Owner", "Order Lines", "Owners", ["Owner"], ["Id"],'
        ' schema="My Shop", referent_schema="My Shop")',
        "violates foreign key constraint",
        f'ALTER TABLE {LINES} DROP CONSTRAINT "Fk Owner"',
        f'UPDATE {LINES} SET "Owner" = 1',
        CONSTRAINT.format("Fk Owner"),
    ),
    "add_check": Helper(
        'online.add_check("Ck Owner", "Order Lines", sa.column("Owner") < 9,'
        ' schema="My Shop")',
        "is violated by some row",
        f'ALTER TABLE {LINES} DROP CONSTRAINT "Ck Owner"',
        f'UPDATE {LINES} SET "Owner" = 1',
        CONSTRAINT.format("Ck Owner"),
    ),
    "set_not_null": Helper(
        'online.set_not_null("Order Lines", "Name", schema="My Shop")',
        "is violated by some row",
        f'ALTER TABLE {LINES} DROP CONSTRAINT "not_null_Name"',
        f'UPDATE {LINES} SET "Name" = \'c\' WHERE "Id" = 3',
        "SELECT attnotnull FROM pg_attribute WHERE attname = 'Name'"
        f" AND attrelid = '{LINES}'::regclass",
    ),
}
each_helper = pytest.mark.parametrize("helper", HELPERS.values(), ids=HELPERS)


BACKFILL = (
    'online.backfill("Order Lines", {"Name": "n"}, where=sa.column("Name").is_(None),'
    ' schema="My Shop")'
)
HANG = """
@sa.event.listens_for(op.get_bind(), "before_cursor_execute")
def hang(connection, cursor, statement, *_):
    if {words!r} in statement:
        reach({words!r})

"""


@contextmanager
def open_transaction(
    project: MigratedProject, statement: str
) -> Iterator[tuple[int, IO[str]]]:
    """Run a statement in an open transaction; yield its pid, and its input to close."""
    with subprocess.Popen(
        [str(project.psql_path), "-X", "-q", "-A", "-t", project.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as psql:
        assert psql.stdin is not None and psql.stdout is not None
        psql.stdin.write(f"BEGIN; {statement}; SELECT pg_backend_pid();\n")
        psql.stdin.flush()
        yield int(psql.stdout.readline()), psql.stdin


@contextmanager
def writer(project: MigratedProject, statement: str) -> Iterator[None]:
    """Repeat a statement in the block; none may fail, or wait for two seconds."""
    with subprocess.Popen(
        [str(project.psql_path), "-X", "-q", "-v", "ON_ERROR_STOP=1", project.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as psql:
        assert psql.stdin is not None and psql.stderr is not None
        psql.stdin.write(f"SET statement_timeout = '2s';\n{statement} \\watch i=0.02\n")
        psql.stdin.flush()
        try:
            yield
            assert psql.poll() is None, psql.stderr.read()
        finally:
            psql.kill()


def prepare(project: MigratedProject, call: str) -> None:
    """Create the tables, and a second revision that calls a helper."""
    for statement in TABLES.strip().splitlines():
        project.sql(statement)
    project.write_revision("one", "pass")
    project.write_revision("two", ONLINE + call)
    project.alembic("upgrade one")


def read_until(upgrade: "subprocess.Popen[str]", words: str) -> str:
    """Read the output of an upgrade up to a line with some words."""
    assert upgrade.stdout is not None
    while words not in (line := upgrade.stdout.readline()):
        assert line, "the upgrade has ended"
    return line


@on_postgresql
@each_helper
def test_a_helper_repeats_after_failure_and_success(
    project: MigratedProject, helper: Helper
) -> None:
    prepare(project, helper.call)
    for _ in range(2):
        line = failure_line(project.alembic("upgrade head", status=255))
        assert helper.error in line and line.endswith(f"{helper.left})")
        assert "nothing of this revision" not in line
        assert project.sql(helper.made) == ["f"]
    project.sql(helper.fix)
    project.alembic("upgrade head")
    assert project.sql(helper.made) == ["t"]

    schema = project.schema()
    objects = project.sql(OBJECTS)
    # The same state as after a kill between the helper and the version.
    project.sql("UPDATE alembic_version SET version_num = 'one'")
    project.alembic("upgrade head")
    assert (project.sql(helper.made), project.schema()) == (["t"], schema)
    assert project.sql(OBJECTS) == objects
    assert not any("not_null_" in line for line in schema)


@on_postgresql
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("create_index_concurrently", "CREATE UNIQUE INDEX"),
        ("add_foreign_key", "VALIDATE"),
        ("add_check", "VALIDATE"),
        ("set_not_null", "VALIDATE"),
        ("set_not_null", "SET NOT NULL"),
        ("set_not_null", "DROP CONSTRAINT"),
    ],
)
def test_a_helper_repeats_after_a_kill(
    project: MigratedProject, name: str, words: str
) -> None:
    helper = HELPERS[name]
    prepare(project, HANG.format(words=words) + helper.call)
    for each in HELPERS.values():
        project.sql(each.fix)
    project.kill_at(words)
    assert project.version() == ["one"]
    project.alembic("upgrade head")
    assert project.sql(helper.made) == ["t"]
    assert not any("not_null_" in line for line in project.schema())


@on_postgresql
def test_an_index_killed_while_it_is_built_is_replaced(
    project: MigratedProject,
) -> None:
    helper = HELPERS["create_index_concurrently"]
    prepare(project, helper.call)
    project.sql(helper.fix)
    with open_transaction(project, f"DELETE FROM {LINES} WHERE false") as (_, stdin):
        upgrade = project.start_alembic("upgrade", "head")
        wait_until(lambda: project.sql(helper.made) == ["f"])
        upgrade.kill()
        upgrade.communicate()
        project.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE 'CREATE UNIQUE INDEX%'"
        )
        stdin.close()
    assert project.sql(helper.made) == ["f"]
    project.alembic("upgrade head")
    assert project.sql(helper.made) == ["t"]


@on_postgresql
@pytest.mark.parametrize("name", [*HELPERS, "backfill"])
def test_a_helper_beside_a_long_transaction_lets_others_write(
    project: MigratedProject, name: str
) -> None:
    call = HELPERS[name].call if name in HELPERS else BACKFILL
    prepare(project, call)
    for each in HELPERS.values():
        if name != "backfill":
            project.sql(each.fix)
    insert = (
        f"""INSERT INTO {LINES} SELECT max("Id") + 1, max("Id") + 1, 1 FROM {LINES}"""
    )
    locked = f'UPDATE {LINES} SET "Owner" = 1 WHERE "Id" = 3'
    with writer(project, insert), open_transaction(project, locked) as (pid, stdin):
        upgrade = project.start_alembic("upgrade", "head", DATABASE_LOCK_TIMEOUT="0.5")
        if name == "create_index_concurrently":
            waiting = "query LIKE 'CREATE UNIQUE INDEX%' AND wait_event_type = 'Lock'"
            seen = f"SELECT count(*) FROM pg_stat_activity WHERE {waiting}"
            wait_until(lambda: project.sql(seen) == ["1"])
            # Longer than the writer would wait.
            time.sleep(2.5)
        else:
            line = read_until(upgrade, "a table is in use")
            # The table that is referred to may be the one that is locked, too.
            assert f"Order Lines, RowExclusiveLock of postgres with pid {pid}, " in line
            assert re.search(
                r"its query started at \d\d:\d\d:\d\d UTC; retrying in", line
            )
        stdin.close()
        output, _ = upgrade.communicate(timeout=TIMEOUT_SECONDS)
        assert upgrade.returncode == 0, output
    assert project.version() == ["two"]


@on_postgresql
@pytest.mark.parametrize(
    ("kind", "key"), [("int", "7 * n"), ("uuid", "md5(n::text)::uuid")]
)
def test_a_killed_backfill_goes_on_with_the_rows_left(
    project: MigratedProject, kind: str, key: str
) -> None:
    project.write_revision("one", "pass")
    project.write_revision(
        "two",
        """
        from async_app.db.migration import online
        updates = []

        @sa.event.listens_for(op.get_bind(), "before_cursor_execute")
        def hang(connection, cursor, statement, *_):
            updates.extend(["UPDATE"] * statement.startswith("UPDATE items"))
            if len(updates) == 3:
                reach("third")

        name = sa.column("name")
        values = {"name": sa.func.upper(sa.column("old"))}
        online.backfill("items", values, where=name.is_(None), batch=100, pause=0.01)
        """,
    )
    project.alembic("upgrade one")
    project.execute_all(
        f"CREATE TABLE items (id {kind} PRIMARY KEY, old text, name text)",
        f"INSERT INTO items SELECT {key}, 'v' || n FROM generate_series(1, 950) n",
        f"CREATE TABLE done (id {kind})",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO done VALUES (NEW.id); RETURN NULL; END'",
        "CREATE TRIGGER note AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION note()",
    )
    project.kill_at("third")
    assert project.sql("SELECT count(*) FROM done") == ["200"]
    output = project.alembic("upgrade head")
    progress = re.findall(r"items: (\d+ of \d+ rows \(\d+ %\))", output)
    assert progress[0] == "100 of 750 rows (13 %)"
    assert progress[-1] == "750 of 750 rows (100 %)" and len(progress) == 8
    assert project.sql("SELECT count(*), count(DISTINCT id) FROM done") == ["950|950"]
    assert project.sql("SELECT count(*) FROM items WHERE name = upper(old)") == ["950"]


@on_postgresql
def test_a_backfill_needs_a_key_of_one_column(project: MigratedProject) -> None:
    project.write_revision("one", ONLINE + 'online.backfill("pairs", {"a": 1})')
    project.sql("CREATE TABLE pairs (a int, b int, PRIMARY KEY (a, b))")
    output = project.alembic("upgrade head", status=255)
    assert "backfill: pairs has no primary key of one column" in output


@on_postgresql
def test_a_deadlock_is_retried_and_names_the_other(project: MigratedProject) -> None:
    project.execute_all("CREATE TABLE first (id int)", "CREATE TABLE second (id int)")
    project.write_revision(
        "one",
        """
        op.execute("LOCK TABLE first")
        waiting = sa.text("SELECT 1 FROM pg_locks WHERE NOT granted")
        if os.environ.pop("FIRST_ATTEMPT", None):
            Path(os.environ["REACHED"]).touch()
            while not op.get_bind().scalar(waiting):
                time.sleep(0.02)
        op.execute("SET LOCAL deadlock_timeout = '10ms'")
        op.execute("LOCK TABLE second")
        """,
    )
    reached = project.folder / "reached"
    locked = "SET LOCAL deadlock_timeout = '1min'; LOCK TABLE second"
    with open_transaction(project, locked) as (pid, stdin):
        upgrade = project.start_alembic(
            "upgrade", "head", FIRST_ATTEMPT="1", REACHED=str(reached)
        )
        wait_until(reached.exists)
        stdin.write("LOCK TABLE first;\n")
        stdin.flush()
        line = read_until(upgrade, "deadlock")
        expected = f"deadlock: second, AccessExclusiveLock of postgres with pid {pid}, "
        assert expected in line and "retrying in 1 s" in line
        stdin.close()
        output, _ = upgrade.communicate(timeout=TIMEOUT_SECONDS)
        assert upgrade.returncode == 0, output
    assert project.version() == ["one"]


@on_postgresql
def test_the_sql_of_all_helpers_runs_in_psql(project: MigratedProject) -> None:
    calls = [BACKFILL, *(helper.call for helper in HELPERS.values())]
    prepare(project, "\n".join(calls))
    for name in ("create_index_concurrently", "add_foreign_key"):
        project.sql(HELPERS[name].fix)
    path: Path = project.folder / "offline.sql"
    path.write_text(project.offline_sql("upgrade one:head"))
    project.psql("-f", path)
    made = [project.sql(helper.made) for helper in HELPERS.values()]
    assert made == [["t"]] * len(HELPERS)
    assert project.version() == ["two"]
