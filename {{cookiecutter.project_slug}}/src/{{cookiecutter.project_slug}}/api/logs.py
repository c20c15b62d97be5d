"""JSON logging with the request's id on every line."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import event

from ..db import Database


@dataclass
class RequestContext:
    """Context of the request in progress.

    Attributes:
        id: Value of `X-Request-ID` and of `request_id` in the log.
        statements: Number of SQL statements sent so far.
    """

    id: str
    statements: int = 0


request_context: ContextVar[RequestContext | None] = ContextVar(
    "request_context", default=None
)
"""Context of the request that the running code serves, or None outside a request."""

_STANDARD_ATTRIBUTES = {*vars(logging.makeLogRecord({})), "message", "asctime"}


class JsonFormatter(logging.Formatter):
    """Format a record as one line of JSON, including its `extra` fields."""

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
        if context := request_context.get():
            line["request_id"] = context.id
        for name, value in vars(record).items():
            # uvicorn adds a copy of its message with terminal colours.
            if name not in _STANDARD_ATTRIBUTES and name != "color_message":
                line[name] = value
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure() -> None:
    """Log JSON to standard error at level INFO."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


@contextmanager
def count_statements(database: Database) -> Iterator[None]:
    """Count the SQL statements of each request inside the block."""
    engines = [database.engine.sync_engine]
    if database.read_engine.pool is not database.engine.pool:
        engines.append(database.read_engine.sync_engine)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", _count)
    yield
    for engine in engines:
        event.remove(engine, "before_cursor_execute", _count)


def _count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    context = request_context.get()
    if context is not None and not statement.startswith("BEGIN"):
        context.statements += 1
