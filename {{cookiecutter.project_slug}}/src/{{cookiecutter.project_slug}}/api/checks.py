"""What has to be well before requests are sent here."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from alembic.script import ScriptDirectory

from .. import failures
from ..database import Database
from ..migrations.runner import make_config, revisions_of

logger = logging.getLogger(__name__)

Check = Callable[[], Awaitable[None]]

PATIENCE = 2.0
"""Seconds that a check may take."""


class NotReady(Exception):
    """Something is not well; the message may be shown to everybody."""


def of_database(database: Database) -> dict[str, Check]:
    """Return the checks of a database: that it answers, and its revision."""
    script = ScriptDirectory.from_config(make_config())
    heads = set(script.get_heads())
    known = {each.revision for each in script.walk_revisions()}

    async def check_migrations() -> None:
        async with database.reader() as session:
            found = await revisions_of(session)
        if found != heads:
            mend = ": make migrate" if found <= known else ""
            raise NotReady(
                f"the database is at revision {_listed(found)},"
                f" and this code at {_listed(heads)}{mend}"
            )

    return {"database": database.ping, "migrations": check_migrations}


async def run(checks: Mapping[str, Check]) -> dict[str, str]:
    """Run all checks at once and return what is wrong, by their names."""
    results = await asyncio.gather(*map(_run_one, checks, checks.values()))
    return {
        name: reason for name, reason in zip(checks, results, strict=True) if reason
    }


async def _run_one(name: str, check: Check) -> str | None:
    try:
        async with asyncio.timeout(PATIENCE) as limit:
            await check()
    except NotReady as error:
        reason = str(error)
    except Exception as error:
        if isinstance(error, TimeoutError) and limit.expired():
            reason = f"no answer within {PATIENCE:g} s"
        else:
            reason = "no answer"
            # A driver's message may tell more than the public has to know.
            logger.warning("not ready: %s: %s", name, failures.explain(error))
            return reason
    else:
        return None
    logger.warning("not ready: %s: %s", name, reason)
    return reason


def _listed(revisions: set[str]) -> str:
    return ", ".join(sorted(revisions)) or "none"
