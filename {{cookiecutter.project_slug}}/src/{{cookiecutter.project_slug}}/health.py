"""Health checks, shared by `doctor` and `/health/ready`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Literal, NamedTuple

from alembic.util import CommandError

from .db.base import import_submodules
from .db.database import Database
from .db.errors import describe_error, missing_database_reason
from .migrations import directory
from .settings import Settings, SettingsError, project_root

logger = logging.getLogger(__name__)

NAME = __name__.partition(".")[0]

CHECK_TIMEOUT_SECONDS = 2.0

Check = Callable[[], Awaitable[None]]


class CheckFailedError(Exception):
    """A check failed; the message holds no secret.

    Attributes:
        status: "warn" where a known command is all that is needed, else "fail".
    """

    def __init__(self, message: str, status: Literal["warn", "fail"] = "fail") -> None:
        """Keep the status beside the message."""
        super().__init__(message)
        self.status: Literal["warn", "fail"] = status


class CheckResult(NamedTuple):
    """Result of a check, as `doctor` prints it."""

    status: Literal["ok", "warn", "fail"]
    subject: str
    message: str


def database_checks(database: Database) -> dict[str, Check]:
    """Return the checks of a database: it answers, and is at the code's revision."""

    async def check_migrations() -> None:
        async with database.read_session() as session:
            revisions = await directory.revisions(session)
        if reason := revisions.problem():
            raise CheckFailedError(reason, "warn" if revisions.pending else "fail")

    return {"database": database.ping, "migrations": check_migrations}


async def run_checks(checks: Mapping[str, Check]) -> dict[str, str]:
    """Run all checks at once, and return the reasons of those that fail, by name."""
    results = await asyncio.gather(*map(_run_check, checks, checks.values()))
    return {
        name: reason for name, reason in zip(checks, results, strict=True) if reason
    }


async def diagnose(settings: Settings | None = None) -> AsyncIterator[CheckResult]:
    """Check the settings, the database and each feature; change nothing.

    Args:
        settings: The settings; those of the environment if not given.
    """
    try:
        settings = settings or Settings()
    except SettingsError as error:
        yield CheckResult("fail", "settings", f"{error}; see .env.example")
        return
    names = (".env", f".env.{settings.app_env}")
    found = [name for name in names if (project_root() / name).is_file()]
    read = " and ".join(reversed(found)) or "no .env; see .env.example"
    yield CheckResult("ok", "settings", read)
    async for result in _diagnose_database(settings):
        yield result
    for module in import_submodules(NAME, "commands"):
        for check in getattr(module, "doctor_checks", ()):
            try:
                yield await check()
            except SettingsError as error:
                yield CheckResult("fail", "settings", str(error))


async def _diagnose_database(settings: Settings) -> AsyncIterator[CheckResult]:
    if reason := missing_database_reason(settings):
        yield CheckResult("ok", "database", reason)
        return
    async with Database(settings) as database:

        async def check_models() -> None:
            try:
                await directory.check(database)
            except CommandError as error:
                text = "; ".join(str(error).splitlines())
                hint = 'alembic revision --autogenerate -m "…"'
                raise CheckFailedError(f"{text}; {hint}", "warn") from None

        checks = {**database_checks(database), "models": check_models}
        for subject, check in checks.items():
            try:
                await check()
            except CheckFailedError as error:
                yield CheckResult(error.status, subject, str(error))
                return
            except Exception as error:
                yield CheckResult("fail", subject, describe_error(error))
                return
            yield CheckResult("ok", subject, "ready")


async def _run_check(name: str, check: Check) -> str | None:
    limit = asyncio.timeout(CHECK_TIMEOUT_SECONDS)
    try:
        async with limit:
            await check()
    except CheckFailedError as error:
        reason = str(error)
    except Exception as error:
        if isinstance(error, TimeoutError) and limit.expired():
            reason = f"no answer within {CHECK_TIMEOUT_SECONDS:g} s"
        else:
            reason = "no answer"
            # The driver's message may tell more than the public has to know.
            logger.warning("not ready: %s: %s", name, describe_error(error))
            return reason
    else:
        return None
    logger.warning("not ready: %s: %s", name, reason)
    return reason
