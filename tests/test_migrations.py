"""Slow tests of what migrations promise: rendered projects, plain commands, real databases."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from baking import Bake
from combinations import DATABASES, PROJECTS
from migrating import Scene, copy_of, psql_of, serve, wait_for
from test_project import Install, install, installed, uv_environment  # noqa: F401

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="kills processes as POSIX does"),
]
on_each = pytest.mark.parametrize("database", DATABASES)
on_sqlite = pytest.mark.parametrize("database", ["sqlite"])
on_postgresql = pytest.mark.parametrize("database", ["postgresql"])

THING = """
    class Thing(Base):
        name: Mapped[str]
"""


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    installed: Install,  # noqa: F811
) -> Iterator[Callable[[], str]]:
    """Give a function that makes a database on a server, which it starts when needed."""
    with ExitStack() as stack:
        started: list[str] = []

        def create() -> str:
            project = installed(PROJECTS["postgresql-bare"])
            if not started:
                copy = copy_of(project.project, tmp_path_factory.mktemp("server"))
                served = serve(copy, project.python, project.env)
                started.append(stack.enter_context(served))
            name = f"test_{uuid4().hex}"
            return started[0].rpartition("/")[0] + f"/{name}"

        yield create


@pytest.fixture
def stage(
    tmp_path: Path,
    baked: Bake,
    installed: Install,  # noqa: F811
    server: Callable[[], str],
) -> Callable[..., Scene]:
    """Give a function that copies a rendered project and makes it an empty database."""

    def make(name: str) -> Scene:
        answers = PROJECTS[name]
        database = str(answers["database"])
        environment = installed(PROJECTS[f"{database}-bare"])
        folder = tmp_path / "a path with spaces"
        scene = Scene(
            project=copy_of(baked(**answers), folder),
            database=database,
            address=f"sqlite:///{folder / 'app.db'}",
            python=environment.python,
            env=environment.env,
            folder=folder,
        )
        if database == "sqlite":
            return scene
        address = server()
        psql = psql_of(environment.python)
        everywhere, _, created = address.rpartition("/")
        replace(scene, address=f"{everywhere}/postgres", psql=psql).sql(
            f"CREATE DATABASE {created}"
        )
        return replace(scene, address=address, psql=psql)

    return make


@pytest.fixture
def scene(database: str, stage: Callable[..., Scene]) -> Scene:
    """A project without models or revisions."""
    return stage(f"{database}-bare")


# 1. A fresh project


@on_each
def test_a_fresh_project_goes_up_and_down_and_leaves_nothing(
    database: str, stage: Callable[..., Scene]
) -> None:
    scene = stage(database)
    scene.alembic("upgrade head", "check")
    assert scene.tables() and (database == "sqlite" or scene.enums())
    scene.alembic("downgrade base")
    assert scene.tables() == scene.enums() == []
    scene.alembic("upgrade head", "check")


# 2. Enums

COLOUR = """
    class Colour(enum.Enum):
        RED = "red"
        GREEN = "green"

"""


def colours(**values: str) -> str:
    """Declare the enum with other values, in a table that a column of it was added to."""
    members = "\n        ".join(f'{name} = "{value}"' for name, value in values.items())
    return f"""
    class Colour(enum.Enum):
        {members}

    class Thing(Base):
        name: Mapped[str]
        colour: Mapped[Colour | None]
"""


RED_GREEN = colours(RED="red", GREEN="green")


@on_each
def test_an_enum_column_is_added_used_again_and_dropped(scene: Scene) -> None:
    scene.model(COLOUR + THING)
    scene.climb()
    scene.sql("INSERT INTO things (name) VALUES ('kept')")

    scene.model(RED_GREEN)
    scene.climb()
    scene.sql("INSERT INTO things (name, colour) VALUES ('new', 'green')")
    with pytest.raises(Exception, match="(?i)constraint|enum"):
        scene.sql("INSERT INTO things (name, colour) VALUES ('new', 'blue')")

    # A second table, in a later revision, with two columns of it.
    box = """
    class Box(Base):
        inside: Mapped[Colour]
        outside: Mapped[Colour] = mapped_column(
            default=Colour.RED, server_default="red"
        )
    """
    scene.model(RED_GREEN + box)
    scene.climb()
    scene.sql("INSERT INTO boxes (inside) VALUES ('green')")
    assert scene.sql("SELECT inside, outside FROM boxes") == ["green|red"]

    # One column goes, the other ones keep the type.
    scene.model(COLOUR + THING + box)
    assert "allow_data_loss = True" in scene.climb(options="-x allow-data-loss")

    # The last ones go, and the type with them.
    scene.model(COLOUR + THING)
    scene.climb(options="-x allow-data-loss")
    assert scene.tables() == ["things"]
    assert scene.enums() == []
    assert len(scene.sql("SELECT name FROM things")) == 2
    scene.alembic("downgrade base", "upgrade head", "check")


@on_each
@pytest.mark.parametrize("place", ["at the end", "in the middle"])
def test_a_value_is_added(scene: Scene, place: str) -> None:
    scene.model(RED_GREEN)
    scene.climb()
    scene.sql("INSERT INTO things (name, colour) VALUES ('kept', 'red')")
    if place == "at the end":
        scene.model(colours(RED="red", GREEN="green", BLUE="it's blue"))
    else:
        scene.model(colours(RED="red", BLUE="it's blue", GREEN="green"))
    scene.alembic("check", status=255)
    scene.climb()
    scene.sql("INSERT INTO things (name, colour) VALUES ('new', 'it''s blue')")
    found = scene.sql("SELECT name, colour FROM things ORDER BY name")
    assert found == ["kept|red", "new|it's blue"]
    # Down, while a row has the value: nothing happens, and it says why.
    before = (scene.version(), scene.schema())
    said = scene.alembic("downgrade -1", status=255)
    assert "FAILED: " in said
    assert (scene.version(), scene.schema()) == before


@on_each
def test_a_value_that_rows_have_is_not_removed(scene: Scene) -> None:
    scene.model(RED_GREEN)
    scene.revise("upgrade head")
    scene.script(
        "INSERT INTO things (name, colour) VALUES ('kept', 'red')",
        "INSERT INTO things (name, colour) VALUES ('in the way', 'green')",
    )
    before = (scene.version(), scene.schema(), scene.enums())
    scene.model(colours(RED="red"))
    scene.alembic("check", status=255)
    scene.revise()
    said = scene.alembic("upgrade head", status=255)
    (why,) = (line for line in said.splitlines() if "FAILED: " in line)
    assert "colour" in why
    assert (scene.version(), scene.schema(), scene.enums()) == before
    assert len(scene.sql("SELECT * FROM things")) == 2

    scene.sql("DELETE FROM things WHERE colour = 'green'")
    for _ in range(2):
        scene.alembic("upgrade head", "check", "downgrade -1")
    assert (scene.version(), scene.schema(), scene.enums()) == before
    assert scene.sql("SELECT name, colour FROM things") == ["kept|red"]


@on_each
def test_a_value_is_used_by_the_next_revision_of_the_same_upgrade(scene: Scene) -> None:
    scene.model(RED_GREEN)
    scene.revise()
    scene.alembic("upgrade head")
    scene.model(colours(RED="red", GREEN="green", BLUE="blue"))
    scene.revise("upgrade head")
    (last,) = scene.version()
    (scene.versions / "9999_use.py").write_text(f'''"""Use it."""
from alembic import op
revision = "use"
down_revision = "{last}"

def upgrade():
    op.execute("INSERT INTO things (name, colour) VALUES ('new', 'blue')")

def downgrade():
    op.execute("DELETE FROM things WHERE colour = 'blue'")
''')
    # From the revision before, and from nothing.
    for steps in ("-1", "base"):
        scene.alembic(f"downgrade {steps}", "upgrade head", "check")
        assert scene.sql("SELECT name, colour FROM things") == ["new|blue"]
        scene.alembic("downgrade -1")
        assert scene.sql("SELECT name, colour FROM things") == []


# 8. What autogenerate finds


@on_each
def test_nothing_is_written_without_models(scene: Scene) -> None:
    scene.model(THING)
    scene.revise("upgrade head")
    files = scene.project.files("versions/*.py")
    (scene.project.package / "models" / "thing.py").unlink()
    for command in ("revision --autogenerate -m change", "check"):
        assert "no model was found" in scene.alembic(command, status=255)
    assert scene.project.files("versions/*.py") == files
    assert scene.tables() == ["things"]


@on_each
def test_an_unchanged_schema_makes_no_revision(scene: Scene) -> None:
    scene.model(THING)
    scene.revise("upgrade head")
    files = scene.project.files("versions/*.py")
    said = scene.alembic("revision --autogenerate -m change")
    assert "nothing has changed: no revision is written" in said
    assert scene.project.files("versions/*.py") == files
    # Without the option, an empty one is what is wanted.
    scene.alembic("revision -m by-hand", "upgrade head", "check")
    assert len(scene.project.files("versions/*.py")) == len(files) + 1


@on_each
def test_a_connection_to_another_database_is_refused(scene: Scene) -> None:
    other = {"sqlite": "postgresql", "postgresql": "sqlite"}[scene.database]
    said = scene.run_python(f"""
        import sqlalchemy as sa
        from alembic import command
        from alembic.util import CommandError
        from async_app.migrations import runner
        from unittest.mock import Mock

        connection = Mock(in_transaction=lambda: False)
        connection.dialect.name = "{other}"
        config = runner.make_config()
        config.attributes["connection"] = connection
        try:
            command.revision(config, autogenerate=True, message="change")
        except CommandError as error:
            print(error)
        """)
    assert said == (
        f"the migrations are for {scene.database}, the connection is to {other}\n"
    )
    assert scene.project.files("versions/*.py") == []


DEFAULTS = {
    "number": ("int", "'5'", "'6'"),
    "negative": ("int", "text('-1')", "text('-2')"),
    "fraction": ("float", "'1.5'", "'2.5'"),
    "exact": ("Decimal", "text('0.10')", "text('0.20')"),
    "removed": ("int", "'5'", "None"),
    "added": ("int", "None", "'5'"),
    "quoted": ("str", '"it\'s"', '"it was"'),
    "empty": ("str", "''", "'x'"),
    "percent": ("str", "'100%'", "'99%'"),
    "case": ("str", "'Abc'", "'abc'"),
    "bracket": ("str", "'(x)'", "'x'"),
    "flag": ("bool", "sa.true()", "sa.false()"),
    "moment": ("datetime", "func.now()", "text(\"'2026-01-01 00:00:00'\")"),
    "document": ("dict[str, Any]", "'{}'", "'{\"a\": 1}'"),
    "colour": ("Colour", "'red'", "'green'"),
}


def with_defaults(number: int) -> str:
    """Declare a column for each kind of default, with the old or the new one."""
    lines = [
        f"{name}: Mapped[{kind}] = mapped_column("
        f"{'sa.JSON, ' if kind.startswith('dict') else ''}server_default={both[number]})"
        for name, (kind, *both) in DEFAULTS.items()
    ]
    return (
        COLOUR + "    class Thing(Base):\n" + "".join(f"        {x}\n" for x in lines)
    )


@on_each
def test_changed_defaults_are_found_and_unchanged_ones_are_not(scene: Scene) -> None:
    scene.model(with_defaults(0))
    # The check within finds no difference.
    scene.climb()
    scene.model(with_defaults(1))
    text = scene.climb()
    upgrade = text.partition("def downgrade")[0]
    found = re.findall(r'alter_column\(\s*(?:"things",\s*)?"(\w+)"', upgrade)
    assert sorted(found) == sorted(DEFAULTS)


EVERY_TYPE = """
    class Everything(Base):
        flag: Mapped[bool]
        small: Mapped[int] = mapped_column(sa.SmallInteger)
        integer: Mapped[int]
        big: Mapped[int] = mapped_column(sa.BigInteger)
        single: Mapped[float]
        double: Mapped[float] = mapped_column(sa.Double)
        exact: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))
        money: Mapped[Decimal]
        letters: Mapped[str]
        short: Mapped[str] = mapped_column(sa.String(20))
        fixed: Mapped[str] = mapped_column(sa.CHAR(2))
        long: Mapped[str] = mapped_column(sa.Text)
        wide: Mapped[str] = mapped_column(sa.Unicode(20))
        wider: Mapped[str] = mapped_column(sa.UnicodeText)
        raw: Mapped[bytes]
        day: Mapped[date]
        hour: Mapped[time]
        moment: Mapped[datetime]
        local: Mapped[datetime] = mapped_column(sa.DateTime)
        span: Mapped[timedelta]
        key: Mapped[uuid.UUID]
        document: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
        colour: Mapped[Colour]
        other: Mapped[Colour | None] = mapped_column(server_default="red")
        doubled: Mapped[int] = mapped_column(sa.Computed("integer * 2", persisted=True))
        maybe: Mapped[int | None]
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("everythings.id"))
"""
POSTGRESQL_TYPES = """
        binary: Mapped[dict[str, Any]] = mapped_column(postgresql.JSONB)
        numbers: Mapped[list[int]] = mapped_column(postgresql.ARRAY(sa.Integer))
        words: Mapped[list[str]] = mapped_column(postgresql.ARRAY(sa.String(9)))
        address: Mapped[str] = mapped_column(postgresql.INET)
        search: Mapped[str] = mapped_column(postgresql.TSVECTOR)
        places: Mapped[dict[str, str]] = mapped_column(postgresql.JSONB, server_default="{}")
        period: Mapped[Any] = mapped_column(postgresql.DATERANGE)
        spoken: Mapped[str] = mapped_column(sa.String(collation="C"))
"""


@on_each
def test_a_model_of_every_common_type_is_stable(scene: Scene) -> None:
    text = COLOUR + EVERY_TYPE
    if scene.database == "postgresql":
        text = "    from sqlalchemy.dialects import postgresql\n" + text
        text += POSTGRESQL_TYPES
    scene.model(text)
    written = scene.climb()
    assert "async_app" not in written
    # And what is added to a table that is there.
    scene.model(THING)
    scene.alembic("-x allow-data-loss revision --autogenerate -m other", "upgrade head")
    scene.model(text)
    scene.revise("upgrade head", "check", options="-x allow-data-loss")


@on_each
def test_constraints_are_added_with_names_and_go_again(scene: Scene) -> None:
    scene.model("""
    class Owner(Base):
        name: Mapped[str]

    class Thing(Base):
        name: Mapped[str]
        size: Mapped[int]
        owner_id: Mapped[int | None]
    """)
    scene.climb()
    scene.model("""
    class Owner(Base):
        name: Mapped[str] = mapped_column(unique=True)

    class Thing(Base):
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
    scene.alembic("check", status=255)
    text = scene.climb()
    for name in (
        "uq_owners_name",
        "ix_things_name",
        "fk_things_owner_id_owners",
        "uq_things_name_size",
        "ck_things_size",
    ):
        assert text.count(f'op.f("{name}")') + text.count(f'("{name}"') >= 2, name
    assert "None," not in text.replace("None = None", "")
    # A check by its new words on SQLite; a new name on both.
    module = scene.project.package / "models" / "thing.py"
    changed = module.read_text().replace(
        '"size > 0", name="size"', '"size > 1", name="above"'
    )
    module.write_text(changed)
    assert "ck_things_above" in scene.climb()
    scene.alembic("downgrade base", "upgrade head", "check")


@on_each
def test_tables_of_others_are_never_dropped(scene: Scene) -> None:
    scene.model(THING)
    scene.revise("upgrade head")
    scene.script(
        "CREATE TABLE spatial_ref_sys (id integer PRIMARY KEY)",
        "CREATE INDEX theirs ON spatial_ref_sys (id)",
    )
    said = scene.alembic("check", "revision --autogenerate -m change")
    assert "nothing has changed" in said
    # A table that a revision made without a model is ours, unless it is named as ignored.
    (first,) = scene.version()
    (scene.versions / "9999_audit.py").write_text(f'''"""Audit."""
import sqlalchemy as sa
from alembic import op
revision = "audit"
down_revision = "{first}"

def upgrade():
    op.create_table("audit_log", sa.Column("id", sa.Integer()))

def downgrade():
    op.drop_table("audit_log")
''')
    scene.alembic("upgrade head")
    said = scene.alembic("revision --autogenerate -m change", status=255)
    assert "the table audit_log would be dropped with its rows" in said
    module = scene.project.package / "migrations" / "autogenerate.py"
    text = module.read_text()
    assert "IGNORED_TABLES: tuple[str, ...] = ()" in text
    module.write_text(
        text.replace(
            "IGNORED_TABLES: tuple[str, ...] = ()", 'IGNORED_TABLES = ("audit_*",)'
        )
    )
    scene.alembic("check")
