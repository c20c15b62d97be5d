"""Test that `alembic check` asks the server, runs nothing of the user's, and only reads."""

import pytest

from support.migrating import MigratedProject, on_postgresql

FUNCTIONS = (
    "CREATE SEQUENCE counter",
    "CREATE FUNCTION next_no() RETURNS int LANGUAGE sql AS $$SELECT nextval('counter')::int$$",
    "CREATE FUNCTION is_good(text) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS"
    " $$BEGIN PERFORM nextval('counter'); RETURN true; END$$",
)


def thing(default: str, check: str) -> str:
    """Declare a table with a default and a CHECK."""
    return f"""
    class Thing(Model):
        name: Mapped[str]
        size: Mapped[int] = mapped_column(server_default=text({default!r}))
        big: Mapped[int] = mapped_column(sa.BigInteger, server_default="5")
        __table_args__ = (CheckConstraint({check!r}, name="rule"),)
"""


# Each CHECK in the words of a model; the server stores other ones.
CHECKS = {
    "a list": ("name IN ('a', 'b')", "name IN ('a', 'c')"),
    "a range": ("size between 1 and 9", "size between 1 and 8"),
    "a pattern": ("name LIKE 'a:%'", "name LIKE 'b:%'"),
    "a function": ("is_good('fixed') AND is_good(name)", "is_good(name)"),
}


@on_postgresql
@pytest.mark.parametrize("checks", CHECKS.values(), ids=CHECKS)
def test_check_compares_and_runs_nothing(
    project: MigratedProject, checks: tuple[str, str]
) -> None:
    project.execute_all(*FUNCTIONS)
    project.write_models(thing("next_no()", checks[0]))
    project.autogenerate("upgrade head", "check", "check")
    for default, check in (
        ("next_no()", checks[1]),
        ("next_no() + 1", checks[0]),
        ("nextval('counter')", checks[0]),
    ):
        project.write_models(thing(default, check))
        output = project.alembic("check", status=255)
        assert ("things.size (default)" in output) == (check == checks[0]), output
        assert ("ck_things_rule" in output) == (check == checks[1]), output
    assert project.sql("SELECT is_called FROM counter") == ["f"]
    project.round_trip()
    assert project.sql("SELECT is_called FROM counter") == ["f"]


@on_postgresql
def test_a_restored_dump_is_no_difference(project: MigratedProject) -> None:
    project.write_models(thing("1", CHECKS["a list"][0]))
    project.autogenerate("upgrade head", "check")
    check = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_things_rule'"
    before = project.sql(check)
    project.execute_all(
        "ALTER TABLE things DROP CONSTRAINT ck_things_rule",
        f"ALTER TABLE things ADD CONSTRAINT ck_things_rule {before[0]}",
    )
    assert project.sql(check) != before
    project.alembic("check")


@on_postgresql
def test_a_changed_type_leaves_its_default_equal(project: MigratedProject) -> None:
    project.write_models(thing("1", "size > 0"))
    project.autogenerate("upgrade head")
    module = project.rendered.package / "models" / "thing.py"
    column = "mapped_column(server_default"
    wider = column.replace("(", "(sa.BigInteger, ")
    module.write_text(module.read_text().replace(column, wider))
    project.round_trip()


@on_postgresql
def test_check_only_reads(project: MigratedProject) -> None:
    project.write_models(thing("1", "size > 0"))
    project.autogenerate("upgrade head")
    reader = f"reader_{project.url[-12:]}"
    database = project.url.rpartition("/")[2]
    project.execute_all(
        f"CREATE ROLE {reader} LOGIN PASSWORD 'x'",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}",
        f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC",
    )
    host = project.url.rpartition("@")[2]
    url = f"postgresql://{reader}:x@{host}"
    output = project.alembic("check", DATABASE_URL=url)
    assert "not compared" not in output
    project.write_models(thing("2", "size > 1"))
    skipped = [
        "not compared by a read-only role or server: the default of things.size",
        "not compared by a read-only role or server: the CHECK ck_things_rule",
    ]
    output = project.alembic("check", DATABASE_URL=url)
    assert [line for line in skipped if line not in output] == [], output
    project.sql(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    output = project.alembic("check")
    assert [line for line in skipped if line not in output] == [], output
