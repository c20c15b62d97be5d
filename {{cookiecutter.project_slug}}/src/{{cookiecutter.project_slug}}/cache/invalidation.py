"""Invalidates what was read from tables that a transaction has changed, after COMMIT.

The name of a table is the tag of what is read from it.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import Connection, Delete, Table, TextClause, event
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.util import await_only

from ..database import Database
from .client import Cache

_WRITES = re.compile(
    r"\b(?:insert\s+into|update|delete\s+from|merge\s+into|truncate(?:\s+table)?)\s+"
    r'(?:only\s+)?(?:"?\w+"?\.)?"?(\w+)',
    re.I,
)


@contextmanager
def invalidating(cache: Cache, database: Database) -> Iterator[None]:
    """Invalidate the tags of changed tables, while the block runs.

    It sees what sessions of this database do in `Database.transaction()`: changed
    objects, statements of Core, text, and what foreign keys delete along with a row.
    It does not see triggers, functions, or what writes past SQLAlchemy: call
    `cache.invalidate()` after those yourself.
    """
    engine = database.engine.sync_engine
    changed, committing = object(), object()

    def begin(session: Session, _transaction: Any, connection: Connection) -> None:
        if connection.engine.pool is engine.pool:
            connection.info[changed] = session.info.setdefault(changed, set())

    def note(connection: Connection, statement: Any, *_: Any) -> None:
        connection.info.get(changed, set()).update(tables_of(statement))

    def before_commit(session: Session) -> None:
        session.info[committing] = not session.in_nested_transaction()

    def roll_back(session: Session) -> None:
        if not session.in_nested_transaction():
            session.info.pop(committing, None)

    def end(session: Session, transaction: SessionTransaction) -> None:
        """Invalidate after COMMIT, also after one whose outcome is unknown."""
        if transaction.parent is None:
            tables = session.info.pop(changed, set())
            if session.info.pop(committing, False) and tables:
                # SQLAlchemy calls this in a greenlet of the session's task.
                await_only(cache.invalidate(*sorted(tables)))

    with ExitStack() as stack:
        for target, name, listener in (
            (Session, "after_begin", begin),
            (Session, "before_commit", before_commit),
            (Session, "after_rollback", roll_back),
            (Session, "after_transaction_end", end),
            (engine, "after_execute", note),
        ):
            event.listen(target, name, listener)
            stack.callback(event.remove, target, name, listener)
        yield


def tables_of(statement: Any) -> set[str]:
    """Name the tables that a statement may change."""
    if isinstance(statement, TextClause):
        return {*_WRITES.findall(statement.text)}
    if not isinstance(statement, UpdateBase):
        return set()
    table = statement.table
    if not isinstance(table, Table):
        return set()
    if not isinstance(statement, Delete):
        return {table.name}
    found = [table]
    for parent in found:
        found += [
            child
            for child in table.metadata.tables.values()
            if child not in found
            and any(
                key.ondelete and key.column.table is parent
                for key in child.foreign_keys
            )
        ]
    return {each.name for each in found}
