"""Test the SQL of migrations: run by psql, checked by squawk."""

from support.migrating import (
    COLOUR,
    CREATE_THINGS,
    RED_GREEN,
    THING,
    MigratedProject,
    on_postgresql,
    on_sqlite,
    thing_with_colour,
)
from support.render import run


@on_postgresql
def test_the_sql_of_an_upgrade_runs_in_psql(project: MigratedProject) -> None:
    project.write_models(COLOUR + THING)
    project.autogenerate("upgrade head")
    project.write_models(RED_GREEN)
    project.autogenerate("upgrade head")
    project.write_models(thing_with_colour(RED="red", BLUE="blue", GREEN="green"))
    project.autogenerate("upgrade head")
    project.write_models(
        thing_with_colour(RED="red", BLUE="blue", GREEN="green")
        .replace("Colour | None]", 'Colour] = mapped_column(server_default="blue")')
        .replace(
            "name: Mapped[str]",
            'name: Mapped[str] = mapped_column(server_default="it\'s")',
        )
    )
    project.autogenerate("upgrade head", options="-x allow-data-loss=*")
    (last,) = project.version()
    (project.versions / "9999_index.py").write_text(f'''"""Index."""
from async_app.db.migration.online import create_index_concurrently
from async_app.db.migration.online import drop_index_concurrently
revision = "index"
down_revision = "{last}"

def upgrade():
    create_index_concurrently("ix_things_name", "things", ["name"])

def downgrade():
    drop_index_concurrently("ix_things_name", "things")
''')
    module = project.rendered.package / "models" / "thing.py"
    module.write_text(
        module.read_text().replace(
            'server_default="it\'s"', 'server_default="it\'s", index=True'
        )
    )
    project.alembic("upgrade head", "check")
    before = project.schema()
    project.alembic("downgrade base")
    project.sql("DROP TABLE alembic_version")

    def apply(command: str) -> None:
        path = project.folder / "offline.sql"
        path.write_text(project.offline_sql(command))
        project.psql("-f", path)

    apply("upgrade head")
    project.alembic("check")
    assert project.schema() == before
    apply("downgrade head:base")
    assert project.tables() == project.enums() == []
    project.alembic("upgrade head", "check")


@on_sqlite
def test_sqlite_refuses_offline_sql(project: MigratedProject) -> None:
    project.write_revision("one", CREATE_THINGS)
    output = project.alembic("upgrade head --sql", status=255)
    assert "FAILED: --sql is not possible with SQLite" in output


@on_postgresql
def test_squawk_checks_unreleased_revisions_only(
    project: MigratedProject,
) -> None:
    (project.rendered.path / ".venv").symlink_to(project.python.parents[1])

    def make(status: int) -> str:
        # Everything is installed: make must not install.
        command = ("make", "--assume-old=.venv/installed", "lint-migrations")
        done = run(
            *command, cwd=project.rendered.path, env=project.variables, status=status
        )
        return done.stdout + done.stderr

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        env = {**project.env, "GIT_CONFIG_GLOBAL": "/dev/null"}
        run("git", *identity, *arguments, cwd=project.rendered.path, env=env)

    project.write_models(THING)
    project.autogenerate("upgrade head")
    project.sql("INSERT INTO things (name) VALUES ('old')")
    make(status=0)
    project.write_models("""
    class Thing(Model):
        name: Mapped[str] = mapped_column(index=True)
    """)
    project.autogenerate()
    assert "require-concurrent-index-creation" in make(status=2)
    # Revisions on origin/main count as released.
    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all")
    git("commit", "--quiet", "--message=all")
    git("update-ref", "refs/remotes/origin/main", "main")
    make(status=0)
