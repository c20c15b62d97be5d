"""Test that `alembic check` finds what differs and nothing else, and only reads."""

import os
import re
import shutil

import pytest

from support.migrating import (
    MigratedProject,
    failure_line,
    on_each,
    on_postgresql,
    on_sqlite,
)
from support.render import run

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


@on_each
def test_an_empty_database_stays_empty(project: MigratedProject) -> None:
    names = {
        "sqlite": "SELECT name FROM sqlite_master",
        "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
    }
    project.write_models(thing("1", "size > 0"))
    project.alembic("check", status=255)
    project.autogenerate("current")
    project.alembic("check", status=255)
    assert project.sql(names[project.database]) == []
    project.alembic("upgrade head", "check")


@on_sqlite
def test_a_read_only_file_and_folder_are_compared(project: MigratedProject) -> None:
    project.write_models(thing("1", "size > 0"))
    project.autogenerate("upgrade head")
    # Permissions do not bind root, except without these capabilities.
    drop = "--bounding-set=-dac_override,-dac_read_search"
    prefix = () if os.geteuid() else ("setpriv", drop)
    folder = project.folder / "read-only"
    file = folder / "app.db"
    folder.mkdir()
    shutil.copy(project.file, file)
    file.chmod(0o444)
    for mode in (0o555, 0o755):
        folder.chmod(mode)
        for command, status, message in (
            ("check", 0, "No new upgrade operations detected"),
            ("current", 0, "(head)"),
            ("upgrade head", 0, ""),
            ("downgrade -1", 255, "attempt to write a readonly database"),
        ):
            done = run(
                *(*prefix, project.python.with_name("alembic"), *command.split()),
                cwd=project.rendered.path,
                env=project.variables
                | {"DATABASE_URL": f"sqlite:///{file}", "DATABASE_BACKUP": "false"},
                status=status,
            )
            output = done.stdout + done.stderr
            assert message in output and "Traceback" not in output
            assert "journal" not in output
    folder.chmod(0o755)


LEGITIMATE = """
    class Expression(Model):
        size: Mapped[int]
        name: Mapped[str]
        __table_args__ = (
            CheckConstraint(sa.column("size") > 0, name="positive"),
            CheckConstraint(sa.column("name").in_(["a:b", "it's"]), name="chosen"),
            CheckConstraint("size > 0 AND size < 10", name="x" * 70),
        )

    class Kind(enum.Enum):
        OLD = "old"
        NEW = "it's:new"

    class Level(enum.IntEnum):
        LOW = 1
        HIGH = 2

    class Automatic(enum.Enum):
        ONE = enum.auto()
        TWO = enum.auto()

    class Access(enum.Flag):
        READ = 1
        WRITE = 2

    class Enumerated(Model):
        flag: Mapped[bool] = mapped_column(sa.Boolean(create_constraint=True, name="flag"))
        checked: Mapped[Kind] = mapped_column(
            sa.Enum(Kind, native_enum=False, create_constraint=True, name="checked")
        )
        unchecked: Mapped[Kind] = mapped_column(sa.Enum(Kind, native_enum=False, length=30))
        copied: Mapped[Kind] = mapped_column(sa.Enum(Kind, name="copied", create_type=False))
        level: Mapped[Level]
        automatic: Mapped[Automatic]
        access: Mapped[Access]

    class Numbered(Base):
        __tablename__ = "numbered"
        id: Mapped[int] = mapped_column(sa.Identity(start=10, increment=5), primary_key=True)

    class Volatile(Model):
        at: Mapped[datetime] = mapped_column(server_default=func.now())
        random: Mapped[float] = mapped_column(server_default=text("(random())"))

    class Left(Model):
        right_id: Mapped[int | None] = mapped_column(ForeignKey("rights.id"))
        other_id: Mapped[int | None] = mapped_column(ForeignKey("rights.id", use_alter=True))

    class Right(Model):
        left_id: Mapped[int | None] = mapped_column(ForeignKey("lefts.id"))

    class Short(sa.String):
        def __init__(self, length=5):
            super().__init__(length)

    class Point(sa.types.UserDefinedType):
        cache_ok = True

        def get_col_spec(self, **options):
            return "TEXT"

    class Own(Model):
        short: Mapped[str] = mapped_column(Short())
        point: Mapped[str] = mapped_column(Point())

    class Indexed(Model):
        name: Mapped[str]
        gone: Mapped[datetime | None]
        twice: Mapped[str] = mapped_column(sa.Computed("name || ':x'", persisted=True))
        __table_args__ = (
            Index(
                "ix_live",
                "name",
                unique=True,
                sqlite_where=text("gone IS NULL AND name <> 'a\\\\:b'"),
                postgresql_where=text("gone IS NULL AND name <> 'a\\\\:b'"),
            ),
        )
"""
LEGITIMATE_ON_POSTGRESQL = """
    from sqlalchemy.dialects import postgresql

    class Elsewhere(Model):
        __table_args__ = {"schema": "other"}
        name: Mapped[str] = mapped_column(index=True)

    class Here(Model):
        elsewhere_id: Mapped[int] = mapped_column(ForeignKey("other.elsewheres.id"))

    class Partitioned(Base):
        __tablename__ = "partitioned"
        __table_args__ = {"postgresql_partition_by": "RANGE (at)"}
        id: Mapped[int] = mapped_column(primary_key=True)
        at: Mapped[datetime] = mapped_column(primary_key=True)

    class Referring(Model):
        partitioned_id: Mapped[int]
        partitioned_at: Mapped[datetime]
        __table_args__ = (
            sa.ForeignKeyConstraint(
                ["partitioned_id", "partitioned_at"], ["partitioned.id", "partitioned.at"]
            ),
        )

    class Special(Model):
        name: Mapped[str]
        document: Mapped[dict[str, Any]] = mapped_column(postgresql.JSONB)
        during: Mapped[Any] = mapped_column(postgresql.TSTZRANGE)
        at: Mapped[datetime] = mapped_column(
            server_default=text("clock_timestamp() + interval '1 day'")
        )
        __table_args__ = (
            Index("ix_ops", "name", postgresql_ops={"name": "varchar_pattern_ops"}),
            Index("ix_gin", "document", postgresql_using="gin"),
            UniqueConstraint("name", name="later", deferrable=True, initially="DEFERRED"),
            postgresql.ExcludeConstraint(("during", "&&"), name="apart", using="gist"),
        )
"""


@on_each
def test_legitimate_models_are_no_difference(project: MigratedProject) -> None:
    text = "    from ..db import Base\n" + LEGITIMATE
    if project.database == "postgresql":
        project.sql("CREATE SCHEMA other")
        text += LEGITIMATE_ON_POSTGRESQL
    project.write_models(text)
    assert "async_app.models" not in project.round_trip()
    if project.database == "postgresql":
        # A partition that SQL makes is of no model, and of no revision's create_table.
        project.sql(
            "CREATE TABLE part PARTITION OF partitioned"
            " FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')"
        )
        project.alembic("check")


@on_postgresql
def test_the_default_schema_may_be_named(project: MigratedProject) -> None:
    project.write_models("""
    class Thing(Model):
        __table_args__ = {"schema": "public"}
        name: Mapped[str] = mapped_column(index=True)

    class Part(Model):
        __table_args__ = {"schema": "public"}
        thing_id: Mapped[int] = mapped_column(ForeignKey("public.things.id"))
    """)
    project.round_trip()


INDEX = "__table_args__ = (Index('ix_{}', 'name', {}),)"
WHERE = "sqlite_where=text('size > {0}'), postgresql_where=text('size > {0}')"
COMPUTED = (
    "twice: Mapped[int] = mapped_column(sa.Computed('size * {}', persisted=True))"
)
PARENT = "parent_id: Mapped[int | None] = mapped_column(ForeignKey('parents.id'{}))"
RANGE = "during: Mapped[Any] = mapped_column(postgresql.TSTZRANGE)"
EXCLUDE = "postgresql.ExcludeConstraint(('during', '{}'), name='{}', using='gist')"

# A line of a class and the one that replaces it, and the place that `check` names.
CHANGES = {
    "Predicate": (
        INDEX.format("changed", WHERE.format(0)),
        INDEX.format("changed", WHERE.format(1)),
        "predicates.ix_changed",
    ),
    "Whole": (
        INDEX.format("whole", WHERE.format(0)),
        INDEX.format("whole", ""),
        "wholes.ix_whole",
    ),
    "Part": (
        INDEX.format("part", ""),
        INDEX.format("part", WHERE.format(0)),
        "parts.ix_part",
    ),
    "Length": (
        "short: Mapped[str] = mapped_column(sa.String(10))",
        "short: Mapped[str] = mapped_column(sa.String(20))",
        "lengths.short (type)",
    ),
    "Rule": (
        "__table_args__ = (CheckConstraint('size > 0', name='size'),)",
        "__table_args__ = (CheckConstraint('size > 1', name='size'),)",
        "rules.ck_rules_size",
    ),
    "Unique": (
        "__table_args__ = (UniqueConstraint('name', name='u'),)",
        "__table_args__ = (UniqueConstraint('size', name='u'),)",
        "uniques.u",
    ),
    "Parent": (
        PARENT.format(""),
        PARENT.format(", ondelete='CASCADE'"),
        "parents.fk_parents_parent_id_parents",
    ),
}
CHANGES_ON_POSTGRESQL = {
    "Method": (
        INDEX.format("method", ""),
        INDEX.format("method", "postgresql_using='hash'"),
        "methods.ix_method",
    ),
    "Operator": (
        INDEX.format("class", ""),
        INDEX.format("class", "postgresql_ops={'name': 'varchar_pattern_ops'}"),
        "operators.ix_class",
    ),
    "Included": (
        INDEX.format("more", ""),
        INDEX.format("more", "postgresql_include=['size']"),
        "includeds.ix_more",
    ),
    "Comment": (
        "note: Mapped[str] = mapped_column(comment='a')",
        "note: Mapped[str] = mapped_column(comment='b')",
        "comments.note (comment)",
    ),
    "Commented": (
        "__table_args__ = {'comment': 'a'}",
        "__table_args__ = {'comment': 'b'}",
        "commenteds (comment)",
    ),
    "Apart": (
        f"{RANGE}; __table_args__ = ()",
        f"{RANGE}; __table_args__ = ({EXCLUDE.format('&&', 'apart')},)",
        "aparts.apart",
    ),
}
# What Alembic has no operation for: `check` finds it, and a revision is written by hand.
BY_HAND = {
    "Key": (
        "",
        "other: Mapped[int] = mapped_column(primary_key=True)",
        "keys (primary key)",
    ),
    "Computed": (COMPUTED.format(2), COMPUTED.format(3), "computeds.twice (computed)"),
    "Plain": (COMPUTED.format(2), "twice: Mapped[int]", "plains.twice (computed)"),
}
BY_HAND_ON_POSTGRESQL = {
    "Later": (
        "__table_args__ = (UniqueConstraint('name', name='later'),)",
        "__table_args__ = (UniqueConstraint('name', name='later', deferrable=True),)",
        "laters.later",
    ),
    "Together": (
        f"{RANGE}; __table_args__ = ({EXCLUDE.format('&&', 'together')},)",
        f"{RANGE}; __table_args__ = ({EXCLUDE.format('=', 'together')},)",
        "togethers.together",
    ),
}


def with_changes(changes: dict[str, tuple[str, str, str]], side: int) -> str:
    """Declare a table for each change, as before (0) or after it (1)."""
    text = "    from sqlalchemy.dialects import postgresql\n"
    for name, lines in changes.items():
        text += f"""
    class {name}(Model):
        name: Mapped[str]
        size: Mapped[int]
        {lines[side]}
"""
    return text


@on_each
def test_each_difference_is_one_line(project: MigratedProject) -> None:
    changes, by_hand = CHANGES, BY_HAND
    if project.database == "postgresql":
        changes = CHANGES | CHANGES_ON_POSTGRESQL
        by_hand = BY_HAND | BY_HAND_ON_POSTGRESQL
    project.write_models(with_changes(changes | by_hand, 0))
    project.autogenerate("upgrade head", "check")

    project.write_models(with_changes(changes | by_hand, 1))
    output = project.alembic("check", status=255).partition("FAILED: ")[2]
    line = r"^([^\[\n]+): the models say .+, the database has .+$"
    found = re.findall(line, output, re.MULTILINE)
    expected = {place for *_, place in (changes | by_hand).values()}
    # A wider primary key has one column more.
    assert {*found} - {"keys.other"} == expected

    project.write_models(with_changes(changes, 1) + with_changes(by_hand, 0))
    project.round_trip()
    for name, lines in by_hand.items():
        some = {name: lines}
        rest = {other: lines for other, lines in by_hand.items() if other != name}
        project.write_models(with_changes(changes | some, 1) + with_changes(rest, 0))
        options = "-x allow-data-loss=* revision --autogenerate -m change"
        message = failure_line(project.alembic(options, status=255))
        assert f"{lines[2]}: the models say" in message
        assert "Autogenerate cannot write this: alembic revision -m" in message
