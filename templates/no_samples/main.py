"""A tour of the project: `python -m` with the name of this package."""

import asyncio
import sys

from sqlalchemy import text

from . import dialect, failures, parts
from .database import Database
from .models.base import load_models
from .settings import Settings, SettingsError


async def tour(database: Database) -> None:
    """Show what is there: a database that answers, and the tables of the models."""
    async with database.reader() as session:
        answer = await session.scalar(text("SELECT 'the database answers'"))
    tables = ", ".join(load_models().tables) or "none yet: add a model to models/"
    print(f"{answer}\ntables: {tables}")


async def main() -> None:
    """Take the tour on the database of the settings."""
    async with Database(Settings()) as database:
        await tour(database)
        for part in parts.load("tour"):
            await part.tour(database)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except SettingsError as error:
        sys.exit(f"{error}")
    except dialect.ERRORS as error:
        sys.exit(failures.explain(error))
