"""Says what is wrong with settings and database, and what mends it: `make doctor`.

It starts nothing and changes nothing. A part that needs more has a `checkup.py`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

from alembic.script import ScriptDirectory

from . import dialect, failures, parts
from .database import Database
from .migrations.runner import MERGE, make_config, revisions_of
from .settings import Settings, SettingsError, project_root

Finding = tuple[str, str, str]
"""How it is, `ok`, `warn` or `fail`; what was looked at; what there is to say."""


async def look(settings: Settings) -> AsyncIterator[Finding]:
    """Look at what every project has: its files of settings, and its database."""
    names = (".env", f".env.{settings.app_env}")
    found = [name for name in names if (project_root() / name).is_file()]
    read = " and ".join(reversed(found)) or "no .env; .env.example says what can be set"
    yield "ok", "settings", read
    if reason := failures.not_yet(settings):
        yield "ok", "database", reason
        return
    async with Database(settings) as database:
        try:
            async with database.reader() as session:
                at = await revisions_of(session)
        except dialect.ERRORS as error:
            yield "fail", "database", failures.explain(error)
            return
    yield "ok", "database", "it answers"
    yield look_at_migrations(at)


def look_at_migrations(at: set[str]) -> Finding:
    """Compare the revisions of a database with those of the code."""
    script = ScriptDirectory.from_config(make_config())
    heads = script.get_heads()
    known = {each.revision for each in script.walk_revisions()}
    if len(heads) > 1:
        return "fail", "migrations", f"the heads are {', '.join(heads)}: {MERGE}"
    if unknown := at - known:
        without = f"the code has no revision {', '.join(sorted(unknown))}"
        return "fail", "migrations", f"{without}: use the code that has it"
    if at != {*heads}:
        return "warn", "migrations", f"not at {', '.join(heads)} yet: make migrate"
    return "ok", "migrations", "at the head"


async def main() -> int:
    """Print what was found, and return 1 if something fails."""
    failed = False
    try:
        settings = Settings()
    except SettingsError as error:
        print_finding(("fail", "settings", f"{error}; .env.example explains it"))
        return 1
    async for finding in look(settings):
        failed |= print_finding(finding)
    for part in parts.load("checkup"):
        try:
            failed |= print_finding(await part.look())
        except SettingsError as error:
            failed |= print_finding(("fail", "settings", f"{error}"))
    return int(failed)


def print_finding(finding: Finding) -> bool:
    """Print a line, and tell whether it is a failure."""
    print("{:5} {:11} {}".format(*finding))
    return finding[0] == "fail"


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
