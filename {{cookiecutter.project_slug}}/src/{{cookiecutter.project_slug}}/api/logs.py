"""Logs as lines of JSON, each with the id of the request that it belongs to."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import event

from ..database import Database


@dataclass
class Call:
    """A request that is being answered.

    Attributes:
        id: What its log lines and its response carry.
        statements: How many statements it has sent to the database.
    """

    id: str
    statements: int = 0


current: ContextVar[Call | None] = ContextVar("current", default=None)
"""The request that the running code belongs to, if to any."""

_ALWAYS_THERE = {*vars(logging.makeLogRecord({})), "message", "asctime"}


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON, with what was passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if call := current.get():
            line["request_id"] = call.id
        for name, value in vars(record).items():
            # uvicorn passes its messages with colours, too.
            if name not in _ALWAYS_THERE and name != "color_message":
                line[name] = value
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure() -> None:
    """Log to standard error, in JSON, from INFO upwards."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


@contextmanager
def counting_statements(database: Database) -> Iterator[None]:
    """Count each statement for the request that sends it, while the block runs."""
    engines = [database.engine.sync_engine]
    if database.read_engine.pool is not database.engine.pool:
        engines.append(database.read_engine.sync_engine)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", _count)
    yield
    for engine in engines:
        event.remove(engine, "before_cursor_execute", _count)


def _count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    call = current.get()
    if call is not None and not statement.startswith("BEGIN"):
        call.statements += 1
