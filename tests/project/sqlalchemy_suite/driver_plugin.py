"""Plugin of pytest that runs SQLAlchemy's tests on a driver, and counts what it did.

Environment variables:
    DRIVER: The module of the driver: `aiosqlite`, or `driver` for a project's copied one.
    CONSTANTS: Constants of that module to replace, as JSON.
    REPORT: The JSON file to write.
"""

import importlib
import json
import os
import threading
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_dbapi,
    SQLiteDialect_aiosqlite,
)

driver: Any = importlib.import_module(os.environ["DRIVER"])
vars(driver).update(json.loads(os.environ["CONSTANTS"]))

passed: set[str] = set()
failed: dict[str, str] = {}
connections: Counter[str] = Counter()
queries: Counter[str] = Counter()


class DBAPI(AsyncAdapt_aiosqlite_dbapi):
    """DBAPI of one engine that connects with the driver."""

    def __init__(self, *modules: Any) -> None:
        super().__init__(*modules)
        self._options: dict[str, Any] = {}
        if driver is not aiosqlite:
            connect = driver.Connection
            if history := getattr(driver, "StatementHistory", None):
                connect = partial(connect, history=history())
            self._options = {"async_creator_fn": connect}

    def connect(self, *args: Any, **options: Any) -> Any:
        """Connect, and count the connection and its queries."""
        # Some tests bring their own function.
        connection = super().connect(*args, **self._options | options)
        kind = type(connection.driver_connection)
        connections[f"{kind.__module__}.{kind.__qualname__}"] += 1
        # Not awaited: tests cancel wherever SQLAlchemy awaits.
        connection.driver_connection._conn.set_trace_callback(_count_query)
        return connection


class Dialect(SQLiteDialect_aiosqlite):
    """Dialect with that DBAPI, and the name of the stock one, which tests look at."""

    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> DBAPI:
        """Create the DBAPI of one engine."""
        stock = super().import_dbapi()
        return DBAPI(stock.aiosqlite, stock.sqlite)

    @classmethod
    def load_provisioning(cls) -> None:
        """Attach the second schema as for the stock dialect."""
        SQLiteDialect_aiosqlite.load_provisioning()


registry.register("sqlite.aiosqlite", __name__, Dialect.__name__)


def _count_query(sql: str) -> None:
    if sql.startswith("SELECT"):
        on_loop = threading.current_thread() is threading.main_thread()
        queries["loop" if on_loop else "thread"] += 1


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Sort the test; a failure in its teardown counts, too."""
    if report.failed:
        passed.discard(report.nodeid)
        failed[report.nodeid] = report.longreprtext
    elif report.when == "call" and report.passed:
        passed.add(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report; failed tests are for its reader to judge."""
    report = {
        "passed": sorted(passed),
        "failed": failed,
        "connections": connections,
        "queries": queries,
    }
    Path(os.environ["REPORT"]).write_text(json.dumps(report), encoding="utf-8")
    if session.exitstatus == pytest.ExitCode.TESTS_FAILED:
        session.exitstatus = pytest.ExitCode.OK
