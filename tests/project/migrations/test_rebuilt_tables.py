"""Test that SQLite's rebuilt tables lose nothing, and that the file is copied first."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

from support.migrating import (
    CREATE_THINGS,
    MigratedProject,
    failure_line,
    on_sqlite,
)


@on_sqlite
def test_rows_that_refer_to_a_rebuilt_table_are_kept(
    project: MigratedProject,
) -> None:
    project.write_models("""
    class Owner(Model):
        name: Mapped[str]
        size: Mapped[int] = mapped_column(server_default="1")

    class First(Model):
        owner_id: Mapped[int] = mapped_column(ForeignKey("owners.id", ondelete="CASCADE"))

    class Second(Model):
        owner_id: Mapped[int | None] = mapped_column(
            ForeignKey("owners.id", ondelete="SET NULL")
        )

    class Third(Model):
        owner_id: Mapped[int] = mapped_column(ForeignKey("owners.id", ondelete="RESTRICT"))
    """)
    project.autogenerate("upgrade head")
    project.sql("INSERT INTO owners (name) VALUES ('kept')")
    for child in ("firsts", "seconds", "thirds"):
        project.sql(f"INSERT INTO {child} (owner_id) VALUES (1)")
    module = project.rendered.package / "models" / "thing.py"
    module.write_text(
        module.read_text().replace(
            'size: Mapped[int] = mapped_column(server_default="1")',
            "size: Mapped[int | None] = mapped_column(unique=True)",
        )
    )
    project.round_trip()
    # The application's own engine enforces foreign keys.
    project.run_python("""
        import asyncio
        from async_app.db import Database
        from async_app.migrations import downgrade, upgrade
        from async_app.settings import Settings

        async def main():
            async with Database(Settings()) as database:
                async with database.engine.connect() as connection:
                    await downgrade(connection, "-1")
                    await upgrade(connection)

        asyncio.run(main())
    """)
    for child in ("firsts", "seconds", "thirds"):
        assert project.sql(f"SELECT owner_id FROM {child}") == ["1"]
    assert project.sql("PRAGMA foreign_key_check") == []


@on_sqlite
def test_a_revision_must_not_leave_dangling_references(
    project: MigratedProject,
) -> None:
    project.write_revision(
        "one",
        """
        op.create_table("parent", sa.Column("id", sa.Integer(), primary_key=True))
        op.create_table("child", sa.Column("id", sa.Integer(), sa.ForeignKey("parent.id")))
        op.execute("INSERT INTO parent VALUES (1)")
        op.execute("INSERT INTO child VALUES (1)")
        """,
    )
    project.alembic("upgrade head")
    project.write_revision("two", 'op.execute("DELETE FROM parent")')
    output = project.alembic("upgrade head", status=255)
    assert (
        "FAILED: 001_two.py: rows would refer to missing rows: child 1 -> parent"
        in output
    )
    assert project.sql("SELECT * FROM parent") == ["1"]


# Statements that create a table, and the features in the message that a rebuild would lose.
PLAIN = "id INTEGER PRIMARY KEY, name TEXT"
CASES = {
    "many things": (
        (
            "CREATE TABLE things (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT COLLATE"
            " NOCASE CHECK (name <> ''), short TEXT UNIQUE ON CONFLICT IGNORE)",
            "CREATE INDEX lowered ON things (lower(name))",
            "CREATE INDEX backwards ON things (name COLLATE BINARY DESC)",
            "CREATE INDEX caseless ON things (short COLLATE NOCASE)",
            "CREATE TRIGGER audit AFTER INSERT ON things BEGIN SELECT 1; END",
        ),
        [
            "AUTOINCREMENT of things",
            "COLLATE NOCASE of things.name",
            "a CHECK without a name ( name <> '' ) of things.name",
            "ON CONFLICT IGNORE of things.short",
            "the index lowered of things",
            "the index backwards DESC of things.name",
            "the index caseless COLLATE NOCASE of things.short",
            "the trigger audit of things",
        ],
    ),
    "a view": (
        (f"CREATE TABLE things ({PLAIN})", "CREATE VIEW seen AS SELECT id FROM things"),
        ["view seen"],
    ),
    "a generated column": (
        (f"CREATE TABLE things ({PLAIN}, twice TEXT AS (name || name) STORED)",),
        ["the generated column things.twice"],
    ),
    "a generated column in full words": (
        (
            f"CREATE TABLE things ({PLAIN}, twice TEXT GENERATED ALWAYS AS (name || name))",
        ),
        ["the generated column things.twice"],
    ),
    "a type and a key": (
        (
            f"CREATE TABLE things ({PLAIN}, shape GEOMETRY, owner INTEGER REFERENCES"
            " things ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED)",
            "CREATE UNIQUE INDEX once ON things (name COLLATE NOCASE) WHERE name > 'WHERE'",
        ),
        [
            "the type GEOMETRY of things.shape",
            "REFERENCES things (id) ON UPDATE CASCADE ON DELETE NO ACTION of things.owner",
            "INITIALLY DEFERRED of things.owner",
            "the index once COLLATE NOCASE of things.name",
        ],
    ),
    "nothing": (
        (
            f"CREATE TABLE things ({PLAIN} NOT NULL DEFAULT 'COLLATE NOCASE, STRICT', parent"
            " INTEGER, -- CHECK (1)\n"
            " [when] DATETIME DEFAULT CURRENT_TIMESTAMP, sum NUMERIC(10,2) DEFAULT (1 + 2),"
            " CONSTRAINT short CHECK (length(name) < 99), CONSTRAINT twice UNIQUE (id, name),"
            " FOREIGN KEY (parent) REFERENCES things (id) ON DELETE RESTRICT ON UPDATE"
            " CASCADE)",
            "CREATE INDEX plain ON things (name)",
            "CREATE INDEX partly ON things (name) WHERE name > 'a'",
        ),
        [],
    ),
}


@on_sqlite
def test_rebuilding_a_table_never_loses_silently(project: MigratedProject) -> None:
    # Each case has its own database file, in one project.
    project.write_revision("one", 'op.execute("SELECT 1")')
    project.alembic("upgrade head")
    project.write_revision(
        "two",
        """
        with op.batch_alter_table("things", recreate="always") as batch:
            batch.add_column(sa.Column("size", sa.Integer()))
        """,
    )
    for name, (statements, lost) in CASES.items():
        file = project.folder / f"{name}.db"
        shutil.copyfile(project.file, file)
        case = replace(project, url=f"sqlite:///{file}")
        case.execute_all(
            *statements, "INSERT INTO things (id, name) VALUES (1, 'kept')"
        )
        before = case.schema()
        if not lost:
            case.alembic("upgrade head")
            indexes = {line for line in before if line.startswith("CREATE INDEX")}
            assert len(indexes) == 2 and indexes <= set(case.schema()), name
            assert "CONSTRAINT short CHECK" in "".join(case.schema())
            assert case.sql("SELECT id, name, size FROM things") == ["1|kept|"]
            continue
        output = case.alembic("upgrade head", status=255)
        message = failure_line(output)
        assert (
            "001_two.py" in message and [x for x in lost if x not in message] == []
        ), message
        assert (case.version(), case.schema()) == (["one"], before), name
        assert case.sql("SELECT id, name FROM things") == ["1|kept"]


@on_sqlite
def test_a_revision_may_change_what_it_names(project: MigratedProject) -> None:
    project.write_revision(
        "one",
        """
        op.execute("CREATE TABLE owners (id INTEGER PRIMARY KEY, name TEXT)")
        op.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name VARCHAR(9) NOT NULL"
                   " DEFAULT 'x', shape GEOMETRY, owner INTEGER, CONSTRAINT of FOREIGN KEY (owner) REFERENCES"
                   " owners (id) ON DELETE CASCADE, CONSTRAINT short CHECK (name <> 'y'))")
        """,
    )
    project.write_revision(
        "two",
        """
        with op.batch_alter_table("things") as batch:
            batch.alter_column("name", server_default="z", nullable=True, type_=sa.Text())
            batch.alter_column("shape", type_=sa.LargeBinary(), new_column_name="form")
            batch.drop_constraint("of", type_="foreignkey")
            batch.create_foreign_key("of", "owners", ["owner"], ["id"])
            batch.drop_constraint(op.f("short"), type_="check")
            batch.create_check_constraint(op.f("short"), "name <> 'z'")
        """,
    )
    project.alembic("upgrade head")
    # A rebuild that leaves a column alone keeps its name's features, too.
    project.sql("DROP TABLE things")
    project.sql("CREATE TABLE things (id INTEGER PRIMARY KEY, old TEXT COLLATE NOCASE)")
    project.write_revision(
        "three",
        """
        with op.batch_alter_table("things", recreate="always") as batch:
            batch.alter_column("old", new_column_name="new")
        """,
    )
    output = project.alembic("upgrade head", status=255)
    assert "would lose COLLATE NOCASE of things.old" in failure_line(output)
    # What may be lost is named.
    revision = project.versions / "002_three.py"
    text = revision.read_text()
    revision.write_text(f"{text}\nallow_data_loss = ['things.other']\n")
    project.alembic("upgrade head", status=255)
    revision.write_text(f"{text}\nallow_data_loss = ['things.old']\n")
    project.alembic("upgrade head")


@on_sqlite
def test_a_revision_may_drop_features_on_purpose(
    project: MigratedProject,
) -> None:
    project.write_revision(
        "one",
        """
        op.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT, size INTEGER,"
                   " old TEXT COLLATE NOCASE, CONSTRAINT positive CHECK (size > 0))")
        op.execute("CREATE INDEX plain ON things (name)")
        op.execute("CREATE INDEX backwards ON things (name DESC)")
        op.execute("CREATE INDEX of_old ON things (old DESC)")
        op.execute("CREATE TRIGGER audit AFTER INSERT ON things BEGIN SELECT 1; END")
        op.execute("CREATE VIEW seen AS SELECT name FROM things")
        op.execute("CREATE TABLE gone (id INTEGER PRIMARY KEY AUTOINCREMENT)")
        op.execute("CREATE TRIGGER going AFTER INSERT ON gone BEGIN SELECT 1; END")
        """,
    )
    project.write_revision(
        "two",
        """
        op.execute("DROP TRIGGER IF EXISTS audit")
        op.execute("DROP VIEW seen")
        op.drop_index("backwards")
        with op.batch_alter_table("things", recreate="always") as batch:
            batch.drop_index("plain")
            batch.drop_index("of_old")
            batch.drop_constraint(op.f("positive"), type_="check")
            batch.drop_column("size")
            batch.drop_column("old")
        op.drop_table("gone")
        """,
    )
    project.alembic("upgrade head")
    assert project.tables() == ["things"]
    # A revision may create again what a rebuild drops.
    project.write_revision(
        "three",
        """
        trigger = "CREATE TRIGGER audit AFTER INSERT ON things BEGIN SELECT 1; END"
        op.execute(trigger)
        with op.batch_alter_table("things", recreate="always") as batch:
            batch.add_column(sa.Column("weight", sa.Integer()))
        op.execute(trigger)
        """,
    )
    project.alembic("upgrade head")


@on_sqlite
def test_the_file_is_copied_before_it_changes(project: MigratedProject) -> None:
    def copies() -> list[Path]:
        return sorted(project.folder.glob("*.copy"))

    project.write_revision("one", CREATE_THINGS)
    project.alembic("upgrade head")
    assert copies() == []  # The database had no tables yet.
    project.alembic("upgrade head", "current")
    assert copies() == []
    seen = []
    for number in range(4):
        project.write_revision(
            f"more{number}",
            f"op.execute('INSERT INTO things (id) VALUES ({number} + 2)')",
        )
        output = project.alembic("upgrade head")
        copied = re.findall(r"copied the database to (.+)", output)
        seen += [Path(path) for path in copied]
    assert len(seen) == 4 and copies() == seen[1:]
    for number, copy in enumerate(copies(), 2):
        one = replace(project, url=f"sqlite:///{copy}")
        assert len(one.sql("SELECT * FROM things")) == number
        assert one.version() == [f"more{number - 2}"]
    project.write_revision("last", "pass")
    output = project.alembic("upgrade head", DATABASE_BACKUP="false")
    assert "copied" not in output and copies() == seen[1:]
