"""Test migrations from inside a running program."""

from support.migrating import (
    THING,
    MigratedProject,
    on_each,
    on_postgresql,
)

IN_PROCESS = """
    import asyncio, logging
    from sqlalchemy import text
    from async_app.db import Database
    from async_app.migrations import check, downgrade, upgrade
    from async_app.settings import Settings

    application = logging.getLogger("application")
    root = list(logging.getLogger().handlers)

    async def main():
        async with Database(Settings(database_pool_size=1, database_max_overflow=1)) as database:
            await upgrade(database)
            await check(database)
            async with database.read_session() as session:
                print(await session.scalar(text("SELECT count(*) FROM things")))
            assert not application.disabled
            assert logging.getLogger().handlers == root

            # The application's own connection, and rows, so that the file is copied.
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
            async with database.read_session() as session:
                print(await session.scalar(text("SELECT count(*) FROM things")))
            if database.engine.dialect.name == "sqlite":
                async with database.engine.connect() as connection:
                    print(await connection.scalar(text("PRAGMA foreign_keys")))
        try:
            from alembic import command
            from async_app.migrations import directory
            command.upgrade(directory.config(), "head")
        except Exception as error:
            print(type(error).__name__, error)

    asyncio.run(main())
"""


@on_each
def test_migrations_run_inside_an_event_loop(project: MigratedProject) -> None:
    project.write_models(THING)
    project.autogenerate()
    project.write_models(THING + "        size: Mapped[int | None]\n")
    project.alembic("upgrade head")
    project.autogenerate()
    project.alembic("downgrade base")
    first, refused, second, *enforced, in_loop = project.run_python(
        IN_PROCESS
    ).splitlines()
    assert (first, second) == ("0", "1")
    assert enforced == (["1"] if project.database == "sqlite" else [])
    assert refused.startswith(
        "CommandError this connection is already in a transaction"
    )
    assert in_loop.startswith("CommandError an event loop is running: await upgrade()")
    assert project.sql("SELECT name FROM things") == ["kept"]


@on_postgresql
def test_alembics_own_statement_is_prepared_once(
    project: MigratedProject,
) -> None:
    for number in range(5):
        table = f'op.create_table("t{number}", sa.Column("id", sa.Integer()))'
        project.write_revision(f"r{number}", table)
    used = project.run_python("""
        import asyncio
        from sqlalchemy import text
        from async_app.db import Database
        from async_app.migrations import upgrade
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
