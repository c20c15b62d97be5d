"""Slow tests of what migrations promise: rendered projects, plain commands, real databases."""

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pgbouncer
import pytest
from baking import TEMPLATE, Bake, run
from combinations import DATABASES, PROJECTS
from installing import Install
from migrating import PATIENCE, Scene, copy_of, psql_of, serve, wait_for

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
    installed: Install,
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
    installed: Install,
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
    with pytest.raises(Exception, match=r"(?i)constraint|enum"):
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
    if scene.database == "postgresql":
        order = (
            "red green it's blue" if place == "at the end" else "red it's blue green"
        )
        assert scene.enums() == [f"colour|{order}"]
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
def test_values_may_hold_any_characters_and_stay_when_others_go(scene: Scene) -> None:
    scene.model(colours(RED="it's", GREEN="a:b", BLUE="100%"))
    scene.climb()
    values = ("it''s", "a:b", "100%")
    for value in values:
        scene.sql(f"INSERT INTO things (name, colour) VALUES ('kept', '{value}')")
    scene.model(colours(RED="it's", GREY="grey", GREEN="a:b", BLUE="100%"))
    scene.climb()
    scene.model(colours(RED="it's", GREEN="a:b", BLUE="100%"))
    scene.climb()
    found = scene.sql("SELECT colour FROM things ORDER BY id")
    assert found == ["it's", "a:b", "100%"]


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


# 9. What would lose data


@on_each
def test_what_would_lose_data_needs_a_word(scene: Scene) -> None:
    scene.model("""
    class Thing(Base):
        name: Mapped[str]
        size: Mapped[int]
        shape: Mapped[str | None]

    class Box(Base):
        label: Mapped[str]
    """)
    scene.revise("upgrade head")
    files = scene.project.files("versions/*.py")
    scene.model("""
    class Thing(Base):
        title: Mapped[str]
        size: Mapped[int]
        shape: Mapped[str]
        weight: Mapped[int]
        price: Mapped[int | None]
        count: Mapped[int] = mapped_column(server_default="0")

    class Crate(Base):
        label: Mapped[str]
    """)
    said = scene.alembic("revision --autogenerate -m change", status=255)
    (why,) = (line for line in said.splitlines() if line.startswith("FAILED: "))
    assert (
        "the column things.name would be dropped with its data (renamed? write an empty"
        " revision with op.alter_column('things', 'name', new_column_name='title'))"
    ) in why
    assert (
        "the table boxes would be dropped with its rows (renamed? write an empty"
        " revision with op.rename_table('boxes', 'crates'))"
    ) in why
    assert "the column things.weight is NOT NULL and has no server_default" in why
    assert "the column things.shape becomes NOT NULL, which fails where a row" in why
    assert "alembic -x allow-data-loss revision --autogenerate" in why
    assert "price" not in why and "count" not in why
    assert scene.project.files("versions/*.py") == files

    written = scene.climb(options="-x allow-data-loss")
    assert "\nallow_data_loss = True\n" in written
    assert scene.tables() == ["crates", "things"]


@on_postgresql
def test_a_constraint_that_is_yet_to_be_validated_disturbs_nothing(
    scene: Scene,
) -> None:
    scene.model("""
    class Thing(Base):
        size: Mapped[int]
    """)
    scene.revise()
    before = set(scene.versions.glob("*.py"))
    scene.alembic("revision -m validate_later")
    (revision,) = set(scene.versions.glob("*.py")) - before
    up, down = (
        f"op.execute('ALTER TABLE things {what} CONSTRAINT ck_things_positive{rest}')"
        for what, rest in (("ADD", " CHECK (size > 0) NOT VALID"), ("DROP", ""))
    )
    text = revision.read_text().replace("    pass\n", f"    {up}\n", 1)
    revision.write_text(text.replace("    pass\n", f"    {down}\n", 1))
    run(
        *(scene.python, "-m", "async_app.migrations.checksums", "accept"),
        cwd=scene.project.path,
        env=scene.variables,
    )
    scene.model("""
    class Thing(Base):
        size: Mapped[int]
        __table_args__ = (CheckConstraint("size > 0", name="positive"),)
    """)
    scene.alembic("upgrade head", "check")
    run(
        *(scene.python, "-m", "pytest", "-p", "no:cacheprovider"),
        "tests/test_migrations.py",
        cwd=scene.project.path,
        env=scene.variables | {"TEST_DATABASE_URL": scene.address},
    )


# 3. From anywhere


@on_each
def test_an_address_may_have_any_password_and_a_path_any_place(
    scene: Scene, tmp_path: Path
) -> None:
    scene.model(THING)
    scene.revise()
    ini = scene.project.path / "alembic.ini"
    run(
        *(scene.python.with_name("alembic"), "-c", ini, "upgrade", "head"),
        cwd=tmp_path,
        env={k: v for k, v in scene.variables.items() if k != "PYTHONPATH"},
    )
    ini.unlink()
    module = (scene.python, "-m", "async_app.migrations")
    variables = scene.variables
    if scene.database == "postgresql":
        password = "p%40ss%w@rd:/#x' \"&é"
        quoted = password.replace("'", "''")
        role = f"role_{uuid4().hex}"
        scene.sql(f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{quoted}'")
        address = urlsplit(scene.address)
        del variables["DATABASE_URL"]
        variables |= {
            "POSTGRES_HOST": str(address.hostname),
            "POSTGRES_PORT": str(address.port),
            "POSTGRES_USER": role,
            "POSTGRES_PASSWORD": password,
            "POSTGRES_DB": address.path[1:],
        }
    for command in (["check"], ["downgrade", "base"], ["upgrade", "head"]):
        run(*module, *command, cwd=Path("/"), env=variables)
    assert scene.tables() == ["things"]
    if scene.database == "postgresql":
        variables["POSTGRES_PASSWORD"] = "wrong"
        done = run(*module, "check", cwd=Path("/"), env=variables, status=255)
        assert "cannot connect to postgresql" in done.stderr
        assert "wrong" not in done.stderr and "Traceback" not in done.stderr


# 4. In process

IN_PROCESS = """
    import asyncio, logging
    from sqlalchemy import text
    from async_app.database import Database
    from async_app.migrations.runner import check, downgrade, upgrade
    from async_app.settings import Settings

    application = logging.getLogger("application")
    root = list(logging.getLogger().handlers)

    async def main():
        async with Database(Settings(database_pool_size=1, database_max_overflow=1)) as database:
            await upgrade(database)
            await check(database)
            async with database.reader() as session:
                print(await session.scalar(text("SELECT count(*) FROM things")))
            assert not application.disabled
            assert logging.getLogger().handlers == root

            # The application's own connection, with rows, so that a file is copied.
            async with database.transaction() as session:
                await session.execute(text("INSERT INTO things (name) VALUES ('kept')"))
            async with database.engine.connect() as connection:
                await check(connection)
                await downgrade(connection, "-1")
                await upgrade(connection, "+1")
                await check(connection)
                await connection.execute(text("SELECT 1"))
                try:
                    await downgrade(connection, "base")
                except Exception as error:
                    print(type(error).__name__, error)
            async with database.reader() as session:
                print(await session.scalar(text("SELECT count(*) FROM things")))
            if database.engine.dialect.name == "sqlite":
                async with database.engine.connect() as connection:
                    print(await connection.scalar(text("PRAGMA foreign_keys")))
        try:
            from alembic import command
            from async_app.migrations.runner import make_config
            command.upgrade(make_config(), "head")
        except Exception as error:
            print(type(error).__name__, error)

    asyncio.run(main())
"""


@on_each
def test_it_migrates_inside_of_a_running_loop(scene: Scene) -> None:
    scene.model(THING)
    scene.revise()
    scene.model(THING + "        size: Mapped[int | None]\n")
    scene.alembic("upgrade head")
    scene.revise()
    scene.alembic("downgrade base")
    first, refused, second, *enforced, in_loop = scene.run_python(
        IN_PROCESS
    ).splitlines()
    assert (first, second) == ("0", "1")
    assert enforced == (["1"] if scene.database == "sqlite" else [])
    assert refused.startswith(
        "CommandError this connection is already in a transaction"
    )
    assert in_loop.startswith("CommandError an event loop is running: await async_app.")
    assert scene.sql("SELECT name FROM things") == ["kept"]


@on_postgresql
def test_alembics_own_statement_is_prepared_once_for_all_revisions(
    scene: Scene,
) -> None:
    for number in range(5):
        table = f'op.create_table("t{number}", sa.Column("id", sa.Integer()))'
        scene.write(f"r{number}", table)
    used = scene.run_python("""
        import asyncio
        from sqlalchemy import text
        from async_app.database import Database
        from async_app.migrations.runner import upgrade
        from async_app.settings import Settings

        async def main():
            async with Database(Settings()) as database:
                async with database.engine.connect() as connection:
                    await upgrade(connection)
                    print(*(await connection.scalars(text(
                        "SELECT generic_plans + custom_plans FROM pg_prepared_statements"
                        " WHERE statement LIKE 'UPDATE alembic_version%'"
                    ))))

        asyncio.run(main())
    """)
    # The first revision inserts.
    assert used.split() == ["4"]


# 5. Many at once


@on_each
def test_eight_at_once_apply_each_revision_once(scene: Scene) -> None:
    def applied(said: list[str]) -> list[str]:
        return re.findall(r"applied \d+/\d+ (\S+) in ", "\n".join(said))

    names = ["one", "two", "three"]
    for name in names:
        scene.write(
            name,
            f'op.create_table("{name}", sa.Column("id", sa.Integer()))\nreach("x")',
        )
    said = scene.at_once(8)
    assert applied(said) == ["000_one", "001_two", "002_three"]
    assert scene.tables() == sorted(names)
    scene.sql("INSERT INTO one VALUES (1)")

    create = "op.create_index('ix_one', 'one', ['id'])"
    if scene.database == "postgresql":
        create = (
            "from async_app.migrations.dialect import create_index_concurrently\n"
            "create_index_concurrently('ix_one', 'one', ['id'])"
        )
    scene.write("four", 'op.create_table("four", sa.Column("id", sa.Integer()))')
    scene.write("five", create)
    scene.write("six", 'op.execute("INSERT INTO four VALUES (1)")')
    said = scene.at_once(8)
    assert applied(said) == ["003_four", "004_five", "005_six"]
    assert scene.version() == ["six"]
    assert scene.sql("SELECT * FROM four") == ["1"]
    if scene.database == "postgresql":
        assert scene.sql(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_one'::regclass"
        ) == ["t"]
        assert scene.sql(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        ) == ["0"]


@on_postgresql
def test_eight_at_once_through_a_pooler_leave_no_lock_behind(scene: Scene) -> None:
    for name in ("one", "two"):
        scene.write(name, f'op.create_table("{name}", sa.Column("id", sa.Integer()))')
    scene.write(
        "three",
        "from async_app.migrations.dialect import create_index_concurrently\n"
        "create_index_concurrently('ix_one', 'one', ['id'])",
    )
    try:
        with pgbouncer.run(scene.address, TEMPLATE / ".cache" / "pgbouncer") as pooled:
            said = scene.at_once(8, DATABASE_URL=pooled, DATABASE_POOLER="transaction")
            locks = scene.sql(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            )
    except pgbouncer.Unavailable as error:
        pytest.skip(f"no PgBouncer: {error}")
    applied = re.findall(r"applied \d+/\d+ (\S+) in ", "\n".join(said))
    assert applied == ["000_one", "001_two", "002_three"]
    assert locks == ["0"]
    assert scene.tables() == ["one", "two"]


# 6. Failures and kills

TWO_TABLES = """
    reach("start")
    op.create_table("left", sa.Column("id", sa.Integer()))
    reach("middle")
    op.create_table("right", sa.Column("id", sa.Integer()))
    reach("end")
"""
A_TABLE = """
    op.create_table(
        "things", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("name", sa.Text())
    )
    op.execute("INSERT INTO things (id, name) VALUES (1, 'kept')")
"""


@on_each
def test_a_failed_or_killed_upgrade_can_be_repeated(scene: Scene) -> None:
    scene.write("one", A_TABLE)
    scene.alembic("upgrade head")
    scene.write("two", TWO_TABLES, 'op.drop_table("left")\nop.drop_table("right")')
    before = scene.schema()
    for moment in ("start", "middle", "end"):
        scene.kill_at(moment)
        assert (scene.version(), scene.schema()) == (["one"], before)
    run(
        *(scene.python.with_name("alembic"), "upgrade", "head"),
        cwd=scene.project.path,
        env=scene.variables | {"FAIL_AT": "middle"},
        status=1,
    )
    assert (scene.version(), scene.schema()) == (["one"], before)
    scene.alembic("upgrade head", "downgrade -1", "upgrade head")
    assert scene.tables() == ["left", "right", "things"]


@on_each
def test_an_error_of_the_database_is_one_line_that_names_the_place(
    scene: Scene,
) -> None:
    scene.write("one", A_TABLE)
    path = scene.write("two", TWO_TABLES + '    op.execute("SELECT nothing")')
    said = scene.alembic("upgrade head", status=255)
    (why,) = (line for line in said.splitlines() if line.startswith("FAILED: "))
    number = path.read_text().splitlines().index('    op.execute("SELECT nothing")') + 1
    assert f"{path.name}:{number}: " in why and "nothing" in why
    # SQLite takes back all of the run, PostgreSQL the revision.
    assert scene.tables() == ([] if scene.database == "sqlite" else ["things"])
    path.write_text(path.read_text().replace("SELECT nothing", "SELECT 1"))
    scene.alembic("upgrade head")
    assert scene.tables() == ["left", "right", "things"]


@on_sqlite
def test_a_kill_while_a_table_is_made_anew_leaves_the_old_one(scene: Scene) -> None:
    scene.write("one", A_TABLE)
    scene.alembic("upgrade head")
    before = scene.schema()
    scene.write(
        "two",
        """
        @sa.event.listens_for(op.get_bind(), "before_cursor_execute")
        def see(connection, cursor, statement, *_):
            for words in ("INSERT INTO _alembic_tmp_", "DROP TABLE", "ALTER TABLE"):
                if statement.strip().startswith(words):
                    reach(words.split()[0])

        with op.batch_alter_table("things", recreate="always") as batch:
            batch.add_column(sa.Column("size", sa.Integer()))
        """,
        'op.drop_column("things", "size")',
    )
    for moment in ("INSERT", "DROP", "ALTER"):
        scene.kill_at(moment)
        assert (scene.version(), scene.schema()) == (["one"], before)
        assert scene.sql("SELECT * FROM things") == ["1|kept"]
    scene.alembic("upgrade head")
    assert scene.sql("SELECT * FROM things") == ["1|kept|"]
    assert scene.tables() == ["things"]


@on_postgresql
def test_a_statement_whose_client_was_killed_does_not_block_the_next(
    scene: Scene,
) -> None:
    scene.write("one", A_TABLE)
    scene.alembic("upgrade head")
    path = scene.write(
        "two",
        """
        op.add_column("things", sa.Column("size", sa.Integer()))
        if "REACHED" in os.environ:
            op.execute("SELECT pg_sleep(600)")
        """,
        'op.drop_column("things", "size")',
    )
    upgrade = scene.start("upgrade", "head", REACHED="")
    sleeping = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep(600)%'"
    wait_for(lambda: bool(scene.sql(sleeping)))
    upgrade.kill()
    upgrade.communicate()
    assert path.exists()
    scene.alembic("upgrade head")
    assert scene.sql("SELECT * FROM things") == ["1|kept|"]
    assert scene.sql(sleeping) == []


# 7. SQLite makes tables anew


@on_sqlite
def test_rows_that_refer_to_a_table_made_anew_are_kept(scene: Scene) -> None:
    scene.model("""
    class Owner(Base):
        name: Mapped[str]
        size: Mapped[int] = mapped_column(server_default="1")

    class First(Base):
        owner_id: Mapped[int] = mapped_column(ForeignKey("owners.id", ondelete="CASCADE"))

    class Second(Base):
        owner_id: Mapped[int | None] = mapped_column(
            ForeignKey("owners.id", ondelete="SET NULL")
        )

    class Third(Base):
        owner_id: Mapped[int] = mapped_column(ForeignKey("owners.id", ondelete="RESTRICT"))
    """)
    scene.revise("upgrade head")
    scene.sql("INSERT INTO owners (name) VALUES ('kept')")
    for child in ("firsts", "seconds", "thirds"):
        scene.sql(f"INSERT INTO {child} (owner_id) VALUES (1)")
    module = scene.project.package / "models" / "thing.py"
    module.write_text(
        module.read_text().replace(
            'size: Mapped[int] = mapped_column(server_default="1")',
            "size: Mapped[int | None] = mapped_column(sa.BigInteger, unique=True)",
        )
    )
    scene.climb()
    # By the application's own engine, which enforces foreign keys.
    scene.run_python("""
        import asyncio
        from async_app.database import Database
        from async_app.migrations.runner import downgrade, upgrade
        from async_app.settings import Settings

        async def main():
            async with Database(Settings()) as database:
                async with database.engine.connect() as connection:
                    await downgrade(connection, "-1")
                    await upgrade(connection)

        asyncio.run(main())
    """)
    for child in ("firsts", "seconds", "thirds"):
        assert scene.sql(f"SELECT owner_id FROM {child}") == ["1"]
    assert scene.sql("PRAGMA foreign_key_check") == []


@on_sqlite
def test_a_revision_may_not_leave_rows_that_refer_to_nothing(scene: Scene) -> None:
    scene.write(
        "one",
        """
        op.create_table("parent", sa.Column("id", sa.Integer(), primary_key=True))
        op.create_table("child", sa.Column("id", sa.Integer(), sa.ForeignKey("parent.id")))
        op.execute("INSERT INTO parent VALUES (1)")
        op.execute("INSERT INTO child VALUES (1)")
        """,
    )
    scene.alembic("upgrade head")
    scene.write("two", 'op.execute("DELETE FROM parent")')
    said = scene.alembic("upgrade head", status=255)
    assert (
        "FAILED: 001_two.py: rows would refer to missing rows: child 1 -> parent"
        in said
    )
    assert scene.sql("SELECT * FROM parent") == ["1"]


# What a table made anew would lose: how it is made, and what the message names.
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
            "a CHECK without a name of things",
            "ON CONFLICT of things",
            "the expression index lowered",
            "DESC of the index backwards",
            "COLLATE NOCASE of the index caseless",
            "the trigger audit",
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
    "nothing": (
        (
            f"CREATE TABLE things ({PLAIN}, parent INTEGER REFERENCES things (id) ON DELETE"
            " RESTRICT, CONSTRAINT short CHECK (length(name) < 99))",
            "CREATE INDEX plain ON things (name)",
            "CREATE INDEX partly ON things (name) WHERE name > 'a'",
        ),
        [],
    ),
}


@on_sqlite
def test_making_a_table_anew_loses_nothing_in_silence(scene: Scene) -> None:
    # One project and one history for all: each case has a file of its own.
    scene.write("one", 'op.execute("SELECT 1")')
    scene.alembic("upgrade head")
    scene.write(
        "two",
        """
        with op.batch_alter_table("things", recreate="always") as batch:
            batch.add_column(sa.Column("size", sa.Integer()))
        """,
    )
    for name, (statements, lost) in CASES.items():
        file = scene.folder / f"{name}.db"
        shutil.copyfile(scene.file, file)
        case = replace(scene, address=f"sqlite:///{file}")
        case.script(*statements, "INSERT INTO things (id, name) VALUES (1, 'kept')")
        before = case.schema()
        if not lost:
            case.alembic("upgrade head")
            indexes = {line for line in before if line.startswith("CREATE INDEX")}
            assert len(indexes) == 2 and indexes <= set(case.schema()), name
            assert "CONSTRAINT short CHECK" in "".join(case.schema())
            assert case.sql("SELECT id, name, size FROM things") == ["1|kept|"]
            continue
        said = case.alembic("upgrade head", status=255)
        (why,) = (line for line in said.splitlines() if line.startswith("FAILED: "))
        assert "001_two.py" in why and [x for x in lost if x not in why] == [], why
        assert (case.version(), case.schema()) == (["one"], before), name
        assert case.sql("SELECT id, name FROM things") == ["1|kept"]


@on_sqlite
def test_what_a_revision_drops_on_purpose_is_not_missed(scene: Scene) -> None:
    scene.write(
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
    scene.write(
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
    scene.alembic("upgrade head")
    assert scene.tables() == ["things"]
    # What is lost in the table and made again by the revision is not lost.
    scene.write(
        "three",
        """
        trigger = "CREATE TRIGGER audit AFTER INSERT ON things BEGIN SELECT 1; END"
        op.execute(trigger)
        with op.batch_alter_table("things", recreate="always") as batch:
            batch.add_column(sa.Column("weight", sa.Integer()))
        op.execute(trigger)
        """,
    )
    scene.alembic("upgrade head")


@on_sqlite
def test_the_file_is_copied_before_it_changes(scene: Scene) -> None:
    def copies() -> list[Path]:
        return sorted(scene.folder.glob("*.copy"))

    scene.write("one", A_TABLE)
    scene.alembic("upgrade head")
    assert copies() == []  # There was nothing to copy.
    scene.alembic("upgrade head", "current")
    assert copies() == []
    seen = []
    for number in range(4):
        scene.write(
            f"more{number}",
            f"op.execute('INSERT INTO things (id) VALUES ({number} + 2)')",
        )
        said = scene.alembic("upgrade head")
        copied = re.findall(r"copied the database to (.+)", said)
        seen += [Path(path) for path in copied]
    assert len(seen) == 4 and copies() == seen[1:]
    for number, copy in enumerate(copies(), 2):
        one = replace(scene, address=f"sqlite:///{copy}")
        assert len(one.sql("SELECT * FROM things")) == number
        assert one.version() == [f"more{number - 2}"]
    scene.write("last", "pass")
    said = scene.alembic("upgrade head", DATABASE_BACKUP="false")
    assert "copied" not in said and copies() == seen[1:]


# 10. Locks


@on_postgresql
def test_an_upgrade_makes_way_for_a_reader_and_tries_again(scene: Scene) -> None:
    scene.write("one", A_TABLE)
    scene.alembic("upgrade head")
    scene.write("two", 'op.add_column("things", sa.Column("size", sa.Integer()))')
    dialect = scene.project.package / "migrations" / "dialect.py"
    text = dialect.read_text()
    (pauses,) = re.findall(r"^PAUSES = .*$", text, re.MULTILINE)

    with scene.reader("things") as end:
        dialect.write_text(text.replace(pauses, "PAUSES = (0.1,)"))
        said = scene.alembic("upgrade head", status=255, DATABASE_LOCK_TIMEOUT="0.2")
        assert said.count("trying again") == 1 and "lock timeout" in said
        assert scene.version() == ["one"]

        dialect.write_text(text.replace(pauses, f"PAUSES = {(0.1,) * 600}"))
        upgrade = scene.start("upgrade", "head", DATABASE_LOCK_TIMEOUT="0.2")
        assert upgrade.stdout is not None
        for _ in range(3):
            while "trying again" not in (line := upgrade.stdout.readline()):
                assert line, "it has ended"
            # Without an end to its wait, this reader would wait for ever behind it.
            assert scene.sql("SELECT count(*) FROM things") == ["1"]
        end()
        said, _ = upgrade.communicate(timeout=PATIENCE)
        assert upgrade.returncode == 0 and "applied 1/1 001_two" in said
    assert scene.sql("SELECT * FROM things") == ["1|kept|"]


CONCURRENTLY = """
    from async_app.migrations.dialect import create_index_concurrently
    create_index_concurrently("ix_things_name", "things", ["name"], unique=True)
"""
DROP_CONCURRENTLY = """
    from async_app.migrations.dialect import drop_index_concurrently
    drop_index_concurrently("ix_things_name", "things")
"""


@on_postgresql
def test_a_concurrent_index_is_repeatable_and_replaces_an_invalid_one(
    scene: Scene,
) -> None:
    def index() -> list[str]:
        return scene.sql(
            "SELECT indexrelid, indisvalid FROM pg_index"
            " WHERE indexrelid = to_regclass('ix_things_name')"
        )

    scene.write("one", A_TABLE)
    scene.write("two", CONCURRENTLY, DROP_CONCURRENTLY)
    scene.alembic("upgrade one")
    scene.sql("INSERT INTO things VALUES (2, 'kept')")
    said = scene.alembic("upgrade head", status=255)
    assert "kept" in said or "could not create unique index" in said
    (invalid,) = index()
    assert invalid.endswith("|f")
    scene.sql("DELETE FROM things WHERE id = 2")
    scene.alembic("upgrade head")
    (valid,) = index()
    assert valid.endswith("|t")
    # As if it had been killed after the index and before the version.
    scene.sql("UPDATE alembic_version SET version_num = 'one'")
    scene.alembic("upgrade head")
    assert index() == [valid]
    scene.alembic("downgrade -1")
    assert index() == []
    scene.alembic("upgrade head")
    assert index()[0].endswith("|t")


# 11. SQL instead of running


@on_postgresql
def test_the_sql_of_an_upgrade_runs_in_psql(scene: Scene) -> None:
    scene.model(COLOUR + THING)
    scene.revise("upgrade head")
    scene.model(RED_GREEN)
    scene.revise("upgrade head")
    scene.model(colours(RED="red", BLUE="blue", GREEN="green"))
    scene.revise("upgrade head")
    scene.model(
        colours(RED="red", BLUE="blue", GREEN="green")
        .replace("Colour | None]", 'Colour] = mapped_column(server_default="blue")')
        .replace(
            "name: Mapped[str]",
            'name: Mapped[str] = mapped_column(server_default="it\'s")',
        )
    )
    scene.revise("upgrade head", options="-x allow-data-loss")
    (last,) = scene.version()
    (scene.versions / "9999_index.py").write_text(f'''"""Index."""
from async_app.migrations.dialect import create_index_concurrently
from async_app.migrations.dialect import drop_index_concurrently
revision = "index"
down_revision = "{last}"

def upgrade():
    create_index_concurrently("ix_things_name", "things", ["name"])

def downgrade():
    drop_index_concurrently("ix_things_name", "things")
''')
    module = scene.project.package / "models" / "thing.py"
    module.write_text(
        module.read_text().replace(
            'server_default="it\'s"', 'server_default="it\'s", index=True'
        )
    )
    scene.alembic("upgrade head", "check")
    before = scene.schema()
    scene.alembic("downgrade base")
    scene.sql("DROP TABLE alembic_version")

    def apply(command: str) -> None:
        path = scene.folder / "written.sql"
        path.write_text(scene.written(command))
        scene.ask("-f", path)

    apply("upgrade head")
    scene.alembic("check")
    assert scene.schema() == before
    apply("downgrade head:base")
    assert scene.tables() == scene.enums() == []
    scene.alembic("upgrade head", "check")


@on_sqlite
def test_the_sql_of_an_upgrade_is_refused(scene: Scene) -> None:
    scene.write("one", A_TABLE)
    said = scene.alembic("upgrade head --sql", status=255)
    assert "FAILED: --sql is not possible with SQLite" in said


@on_postgresql
def test_squawk_looks_at_the_revisions_that_are_not_released(scene: Scene) -> None:
    (scene.project.path / ".venv").symlink_to(scene.python.parents[1])

    def make(status: int) -> str:
        # All is installed: make need not look.
        command = ("make", "--assume-old=.venv/installed", "lint-migrations")
        done = run(*command, cwd=scene.project.path, env=scene.variables, status=status)
        return done.stdout + done.stderr

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        env = {**scene.env, "GIT_CONFIG_GLOBAL": "/dev/null"}
        run("git", *identity, *arguments, cwd=scene.project.path, env=env)

    scene.model(THING)
    scene.revise("upgrade head")
    scene.sql("INSERT INTO things (name) VALUES ('old')")
    make(status=0)
    scene.model("""
    class Thing(Base):
        name: Mapped[str] = mapped_column(index=True)
    """)
    scene.revise()
    assert "require-concurrent-index-creation" in make(status=2)
    # What is released is not looked at again.
    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all")
    git("commit", "--quiet", "--message=all")
    git("update-ref", "refs/remotes/origin/main", "main")
    make(status=0)


# 12. Two heads, and a database that is ahead


@on_each
def test_two_heads_and_a_database_that_is_ahead_are_said_in_a_sentence(
    scene: Scene,
) -> None:
    one = scene.write("one", A_TABLE)
    scene.alembic("upgrade head")
    two = scene.write("two", "pass")
    three = scene.write("three", "pass")
    three.write_text(
        three.read_text().replace("down_revision = 'two'", "down_revision = 'one'")
    )
    said = scene.alembic("upgrade head", status=255)
    (why,) = (line for line in said.splitlines() if line.startswith("FAILED: "))
    assert "Multiple head revisions" in why
    scene.alembic("merge -m merged two three", "upgrade head")
    (merged,) = scene.versions.glob("*merged.py")
    name = merged.name
    for path in (two, three, merged):
        path.unlink()
    ahead = scene.version()[0]
    for command in ("upgrade head", "downgrade -1", "current", "check"):
        said = scene.alembic(command, status=255)
        (why,) = (line for line in said.splitlines() if line.startswith("FAILED: "))
        assert f"the database is at revision {ahead}" in why, (command, name)
    assert one.exists()


# 14. Progress


@on_each
def test_progress_is_logged_with_number_total_and_time(scene: Scene) -> None:
    names = [f"step{number}" for number in range(12)]
    for name in names:
        scene.write(name, "pass")
    said = scene.alembic("upgrade head", "downgrade -2")
    lines = re.findall(r"(applied|took back) (\d+)/(\d+) (\S+) in \d+\.\d s", said)
    assert lines[:12] == [
        ("applied", str(number), "12", f"{number - 1:03}_step{number - 1}")
        for number in range(1, 13)
    ]
    assert lines[12:] == [
        ("took back", "1", "2", "011_step11"),
        ("took back", "2", "2", "010_step10"),
    ]
