"""Test that values are lost only where a command names them."""

import ast
import re
from collections.abc import Collection

import pytest

from support.migrating import (
    COLOUR,
    THING,
    TIMEOUT_SECONDS,
    MigratedProject,
    failure_line,
    on_each,
    on_postgresql,
)
from support.render import run


@on_each
def test_data_loss_needs_a_switch(project: MigratedProject) -> None:
    project.write_models("""
    class Thing(Model):
        name: Mapped[str]
        size: Mapped[int]
        shape: Mapped[str | None]

    class Box(Model):
        label: Mapped[str]
    """)
    project.autogenerate("upgrade head")
    files = project.rendered.files("versions/*.py")
    project.write_models("""
    class Thing(Model):
        title: Mapped[str]
        size: Mapped[int]
        shape: Mapped[str]
        weight: Mapped[int]
        price: Mapped[int | None]
        count: Mapped[int] = mapped_column(server_default="0")

    class Crate(Model):
        label: Mapped[str]
    """)
    output = project.alembic("revision --autogenerate -m change", status=255)
    message = failure_line(output)
    assert (
        "things.name: the column would be dropped with its data (renamed? write an empty"
        " revision with op.alter_column('things', 'name', new_column_name='title'))"
    ) in message
    assert (
        "boxes: the table would be dropped with its rows (renamed? write an empty"
        " revision with op.rename_table('boxes', 'crates'))"
    ) in message
    assert "things.weight: NOT NULL without a default fails on existing rows" in message
    assert "things.shape: NOT NULL fails on rows without a value" in message
    names = "boxes,things.name,things.shape,things.title,things.weight"
    assert set(names.split(",")) == set(
        message.partition("-x allow-data-loss=")[2].split(" ")[0].split(",")
    )
    assert "price" not in message and "count" not in message
    assert project.rendered.files("versions/*.py") == files

    output = project.alembic(
        "-x allow-data-loss revision --autogenerate -m change", status=255
    )
    assert "-x allow-data-loss names nothing" in output
    # A name allows no more than it says.
    output = project.alembic(
        "-x allow-data-loss=boxes,things.n*,things.title,things.weight"
        " revision --autogenerate -m change",
        status=255,
    )
    message = failure_line(output)
    assert "things.shape: NOT NULL" in message
    assert "boxes" not in message and "things.name" not in message
    assert project.rendered.files("versions/*.py") == files

    options = f"-x allow-data-loss=things -x allow-data-loss={names}"
    written = project.round_trip(options=options)
    recorded = re.search(r"\nallow_data_loss = (\[[^]]*\])\n", written)
    assert recorded and ast.literal_eval(recorded[1]) == names.split(",")
    assert project.tables() == ["crates", "things"]


# A type, another one, and whether each value of the first is one of the second.
TYPES = {
    "a date of a moment": ("datetime", "date", False),
    "a moment of a date": ("date", "datetime", False),
    "a number of a text": ("str", "int", False),
    "a text of a number": ("int", "str", False),
    "a number without digits": ("Decimal, sa.Numeric(10, 2)", "int", False),
    "fewer digits": ("Decimal, sa.Numeric(10, 2)", "Decimal, sa.Numeric(8, 2)", False),
    "fewer decimals": (
        "Decimal, sa.Numeric(10, 2)",
        "Decimal, sa.Numeric(10, 1)",
        False,
    ),
    "decimals instead of digits": (
        "Decimal, sa.Numeric(10, 2)",
        "Decimal, sa.Numeric(10, 4)",
        False,
    ),
    "a limited number": ("Decimal", "Decimal, sa.Numeric(10, 2)", False),
    "a shorter text": ("str, sa.String(20)", "str, sa.String(10)", False),
    "a limited text": ("str, sa.Text", "str, sa.String(10)", False),
    "a smaller integer": ("int, sa.BigInteger", "int, sa.Integer", False),
    "an approximate number": ("Decimal, sa.Numeric(20, 2)", "float", False),
    "a truth of a number": ("int", "bool", False),
    "bytes of a text": ("str", "bytes", False),
    "a longer text": ("str, sa.String(10)", "str, sa.String(20)", True),
    "any text": ("str, sa.String(10)", "str, sa.Text", True),
    "a larger integer": ("int, sa.SmallInteger", "int, sa.BigInteger", True),
    "more decimals": ("Decimal, sa.Numeric(10, 2)", "Decimal, sa.Numeric(14, 4)", True),
}


def with_types(changed: Collection[str] = ()) -> str:
    """Declare a column for each pair of types, with the new one where it is changed."""
    text = "    class Thing(Model):\n"
    for name, types in TYPES.items():
        python, _, column = str(types[name in changed]).partition(", ")
        text += f"        {name.replace(' ', '_')}: Mapped[{python}]"
        text += f" = mapped_column({column})\n"
    return text


@on_each
def test_a_type_that_may_lose_values_is_refused(project: MigratedProject) -> None:
    project.write_models(with_types())
    project.autogenerate("upgrade head")
    files = project.rendered.files("versions/*.py")
    project.write_models(with_types(TYPES))
    message = failure_line(
        project.alembic("revision --autogenerate -m change", status=255)
    )
    refused = {
        name.replace("_", " ") for name in re.findall(r"things\.(\w+):", message)
    }
    kept = {name for name, (_, _, kept) in TYPES.items() if kept}
    assert refused == {*TYPES} - kept
    assert "add a column of the new type, copy, compare, drop the old one" in message
    assert project.rendered.files("versions/*.py") == files
    project.write_models(with_types(kept))
    project.round_trip()


WITH_BODY = """
    class Thing(Model):
        name: Mapped[str]
        body: Mapped[str | None]
        price: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))

    class Note(Model):
        text: Mapped[str]
"""


@on_each
def test_a_downgrade_deletes_only_what_is_named(project: MigratedProject) -> None:
    project.write_models(THING)
    project.autogenerate("upgrade head")
    (first,) = project.version()
    project.write_models(WITH_BODY)
    project.autogenerate("upgrade head")
    project.write_models(WITH_BODY.replace("(10, 2)", "(14, 4)"))
    project.autogenerate("upgrade head")
    (last,) = project.version()
    project.execute_all(
        "INSERT INTO things (name, body, price) VALUES ('kept', 'long', 1.2345)",
        "INSERT INTO notes (text) VALUES ('kept')",
    )

    def refused(options: str = "") -> str:
        before = (project.version(), project.schema())
        output = project.alembic(f"{options} downgrade {first}", status=255)
        # SQLite reverts all revisions of a command, or none.
        if project.database == "sqlite":
            assert (project.version(), project.schema()) == before
        return failure_line(output)

    assert "things.price: NUMERIC(14, 4) to NUMERIC(10, 2) may lose values" in refused()
    assert project.version() == [last]
    given = "-x allow-data-loss="
    named = ["things.price"]
    for _ in range(2):
        message = refused(given + ",".join(named))
        assert "would be dropped with its" in message
        (name,) = re.findall(rf"{given}(\S+) downgrade {first}", message)
        assert name in ("things.body", "notes")
        named.append(name)
    assert len(project.sql("SELECT * FROM notes")) == 1
    project.alembic(f"{given}{','.join(named)} downgrade {first}")
    assert project.sql("SELECT name FROM things") == ["kept"]
    assert project.tables() == ["things"]


@on_each
def test_a_downgrade_of_what_is_empty_needs_no_name(project: MigratedProject) -> None:
    project.write_models(THING)
    project.autogenerate("upgrade head")
    project.write_models(WITH_BODY)
    project.autogenerate("upgrade head")
    project.sql("INSERT INTO things (name) VALUES ('no body')")
    project.alembic("downgrade -1")
    project.sql("DELETE FROM things")
    project.alembic("downgrade base")
    assert project.tables() == []


@on_each
def test_a_program_names_what_a_downgrade_deletes(project: MigratedProject) -> None:
    project.write_models(THING)
    project.autogenerate("upgrade head")
    project.sql("INSERT INTO things (name) VALUES ('kept')")
    script = """
        import asyncio
        from alembic.util import CommandError
        from async_app.db import Database
        from async_app.migrations import downgrade
        from async_app.settings import Settings

        async def main(**options):
            async with Database(Settings()) as database:
                try:
                    await downgrade(database, "base", **options)
                except CommandError as error:
                    print(error)

        asyncio.run(main(OPTIONS))
        """
    output = project.run_python(script.replace("OPTIONS", ""))
    assert "things: the table would be dropped with its rows" in output
    named = 'allow_data_loss=["things"]'
    output = project.run_python(script.replace("OPTIONS", named), APP_ENV="production")
    assert "this is production" in output
    assert project.sql("SELECT name FROM things") == ["kept"]
    project.run_python(
        script.replace("OPTIONS", f"{named}, in_production=True"), APP_ENV="production"
    )
    assert project.tables() == []


@on_each
def test_production_is_downgraded_only_with_a_switch(project: MigratedProject) -> None:
    project.write_models(THING)
    project.autogenerate("upgrade head")
    before = (project.version(), project.schema())
    output = project.alembic("downgrade base", status=255, APP_ENV="production")
    message = failure_line(output)
    assert "Back up first" in message and "alembic -x in-production" in message
    assert (project.version(), project.schema()) == before
    # Neither an upgrade nor a stamp deletes anything.
    project.alembic("upgrade head", APP_ENV="production")
    project.alembic("stamp base", APP_ENV="production")
    project.alembic("stamp head", APP_ENV="production")
    project.alembic("-x in-production downgrade base", APP_ENV="production")
    assert project.tables() == []


@on_each
def test_the_tests_compare_the_values_of_a_changed_type(
    project: MigratedProject,
) -> None:
    size = """
    class Thing(Model):
        size: Mapped[int]
    """
    project.write_models(size)
    project.autogenerate("upgrade head")
    project.write_models(size.replace("int", "str"))
    text = project.autogenerate(options="-x allow-data-loss=*")
    (path,) = (p for p in project.versions.glob("*.py") if p.read_text() == text)

    def run_tests(status: int) -> str:
        done = run(
            *(
                project.python,
                "-m",
                "pytest",
                "-p",
                "no:cacheprovider",
                "-k",
                "up_down",
            ),
            "tests/test_migrations.py",
            cwd=project.rendered.path,
            env=project.variables | {"TEST_DATABASE_URL": project.url},
            status=status,
        )
        return done.stdout

    # The revision names the column, so it may lose values.
    run_tests(0)
    path.write_text(text.replace("allow_data_loss = ", "renamed = "))
    assert "changes the values of things.size" in run_tests(1)


@on_postgresql
def test_a_retry_downgrades_no_further(project: MigratedProject) -> None:
    for number in range(1, 5):
        name = f"t{number}"
        project.write_revision(
            name,
            f'op.create_table("{name}", sa.Column("id", sa.Integer()))',
            f'op.drop_table("{name}")',
        )
    project.alembic("upgrade head")
    project.sql("INSERT INTO t3 VALUES (1)")
    with project.open_read_transaction("t3") as end:
        downgrade = project.start_alembic(
            *("-x", "allow-data-loss=*", "downgrade", "-2"), DATABASE_LOCK_TIMEOUT="0.5"
        )
        assert downgrade.stdout is not None
        lines = iter(downgrade.stdout.readline, "")
        assert any("retrying in" in line for line in lines)
        end()
        output, _ = downgrade.communicate(timeout=TIMEOUT_SECONDS)
    assert downgrade.returncode == 0, output
    assert "reverted 2/2" in output and project.version() == ["t2"]
    assert project.tables() == ["t1", "t2"]


@on_postgresql
def test_a_type_of_another_kind_is_cast(project: MigratedProject) -> None:
    project.write_models("""
    class Thing(Model):
        number: Mapped[str] = mapped_column(server_default="1")
        key: Mapped[str]
        colour: Mapped[str] = mapped_column(server_default="red")
        Amount: Mapped[str]
    """)
    project.autogenerate("upgrade head")
    key = "00000000-0000-0000-0000-000000000001"
    project.sql(
        'INSERT INTO things (number, key, colour, "Amount")'
        f" VALUES ('7', '{key}', 'green', '1.5')"
    )
    project.write_models(COLOUR + """
    class Thing(Model):
        number: Mapped[int] = mapped_column(server_default="1")
        key: Mapped[uuid.UUID]
        colour: Mapped[Colour] = mapped_column(server_default="green")
        Amount: Mapped[Decimal]
    """)
    written = project.autogenerate(
        "upgrade head", "check", options="-x allow-data-loss=*"
    )
    assert written.count("postgresql_using=") == 8
    rows = 'SELECT number + 1, key, colour, "Amount" * 2 FROM things'
    assert project.sql(rows) == [f"8|{key}|green|3.0"]
    project.alembic("-x allow-data-loss=* downgrade -1", "upgrade head", "check")
    assert project.sql(rows) == [f"8|{key}|green|3.0"]
    # The server's hint is a part of the message.
    (last,) = project.version()
    path = project.write_revision(
        "narrow", 'op.alter_column("things", "key", type_=sa.Integer())'
    )
    path.write_text(
        path.read_text().replace("down_revision = None", f"down_revision = '{last}'")
    )
    message = failure_line(project.alembic("upgrade head", status=255))
    assert "You might need to specify" in message and "USING" in message


# An argument of a table, the name of what is unique, and the values that it would refuse.
UNIQUE = {
    "constraint": (
        'UniqueConstraint("name", "size")',
        "uq_constraint_name_size",
        "(a, 1) in 3 rows, (b, 2) in 2 rows",
    ),
    "whole": (
        'Index("once", "name", unique=True)',
        "once",
        "(a) in 3 rows, (b) in 2 rows",
    ),
    "partial": (
        'Index("some", "name", unique=True, sqlite_where=text("size > 1"),'
        ' postgresql_where="size > 1")',
        "some",
        "(b) in 2 rows",
    ),
    "expression": (
        'Index("upper", func.upper(sa.column("name")), unique=True)',
        "upper",
        "(A) in 3 rows, (B) in 2 rows",
    ),
    "different": ('UniqueConstraint("name", "id")', "", ""),
    "missing": ('UniqueConstraint("colour")', "", ""),
    "index": ('Index("more", "name")', "", ""),
}


def with_unique(*kinds: str, changed: bool = False) -> str:
    """Declare a table for each kind."""
    text = (
        "    order: Mapped[int | None] = mapped_column(unique=True)" if changed else ""
    )
    return "".join(f"""
    class {kind}(Model):
        __tablename__ = "{kind}"
        name: Mapped[str]
        size: Mapped[int]
        colour: Mapped[str | None]
    {text}
        __table_args__ = ({UNIQUE[kind][0] + "," if changed else ""})
    """ for kind in kinds)


def insert_duplicates(project: MigratedProject, table: str) -> None:
    """Insert three rows and two rows that have the same values."""
    rows = [("a", 1), ("a", 1), ("b", 2), ("a", 1), ("b", 2)]
    now = "'2026-01-01 00:00:00'"
    values = ", ".join(f"('{name}', {size}, {now}, {now})" for name, size in rows)
    columns = "name, size, created_at, updated_at"
    project.sql(f'INSERT INTO "{table}" ({columns}) VALUES {values}')


@on_each
def test_unique_is_refused_with_the_values_that_violate_it(
    project: MigratedProject,
) -> None:
    # Alembic does not compare expressions of indexes on SQLite.
    unknown = {"expression"} if project.database == "sqlite" else set()
    kinds = {*UNIQUE} - unknown
    project.write_models(with_unique(*kinds))
    project.autogenerate("upgrade head")
    for kind in kinds:
        insert_duplicates(project, kind)
    project.write_models(with_unique(*kinds, changed=True))
    command = "revision --autogenerate -m change"
    message = failure_line(project.alembic(command, status=255))
    found = re.findall(
        r"(\w+\.\w+): UNIQUE fails on rows with equal values: (.*?) \(de", message
    )
    names = {f"{kind}.{UNIQUE[kind][1]}": UNIQUE[kind][2] for kind in kinds}
    assert dict(found) == {name: values for name, values in names.items() if values}
    assert len(project.rendered.files("versions/*.py")) == 1
    options = f"-x allow-data-loss={','.join(dict(found))}"
    project.autogenerate(options=options)


@on_each
@pytest.mark.parametrize("kind", ["constraint", "whole"])
def test_a_failed_upgrade_names_the_values_that_violate_unique(
    project: MigratedProject, kind: str
) -> None:
    project.write_models(with_unique(kind))
    project.autogenerate("upgrade head")
    project.write_models(with_unique(kind, changed=True))
    project.autogenerate()
    insert_duplicates(project, kind)
    schema = project.schema()
    message = failure_line(project.alembic("upgrade head", status=255))
    value = "a, 1" if kind == "constraint" else "a"
    if project.database == "postgresql":
        assert f"=({value}) is duplicated." in message
    else:
        assert f"(equal values: ({value}) in 3 rows, (b" in message
        assert "; nothing of this run is left in the database)" in message
    assert project.schema() == schema
    project.sql(f'DELETE FROM "{kind}"')
    project.alembic("upgrade head", "check")
