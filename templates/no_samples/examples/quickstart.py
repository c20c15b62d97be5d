"""Quickstart: ask the database, and list the tables of the models."""

from sqlalchemy import text

from {{cookiecutter.project_slug}}.cli import run
from {{cookiecutter.project_slug}}.db import Base, Database
from {{cookiecutter.project_slug}}.db.base import import_submodules
from {{cookiecutter.project_slug}}.settings import Settings


async def main() -> None:
    """Read one value, in a session without a transaction."""
    async with Database(Settings()) as database:
        async with database.read_session() as session:
            answer = await session.scalar(text("SELECT 'the database answers'"))
    import_submodules("{{cookiecutter.project_slug}}", "models")
    tables = ", ".join(Base.metadata.tables) or "none yet: add a model to models/"
    print(f"{answer}\ntables: {tables}")


if __name__ == "__main__":
    run(main())
