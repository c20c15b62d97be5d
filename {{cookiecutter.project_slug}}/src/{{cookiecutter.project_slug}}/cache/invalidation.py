"""Invalidate cached values when a transaction that changed their tables commits.

The tag of a value is the name of each table that it was read from.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import Connection, Delete, Table, TextClause, event
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.util import await_only

from ..db import Database
from .client import Cache

_WRITTEN_TABLE = re.compile(
    r"\b(?:insert\s+into|update|delete\s+from|merge\s+into|truncate(?:\s+table)?)\s+"
    r'(?:only\s+)?(?:"?\w+"?\.)?"?(\w+)',
    re.I,
)


@contextmanager
def invalidate_on_commit(cache: Cache, database: Database) -> Iterator[None]:
    """Invalidate the tags of changed tables after each COMMIT, while the block runs.

    This covers the transactions of `database`: changed objects, Core statements,
    textual SQL, and rows that foreign keys delete or update with their parent. It does
    not cover `Repository.create_many`, triggers, functions and other programs: call
    `cache.invalidate()` after those.
    """
    engine = database.engine.sync_engine
    # Keys of `info` dictionaries that no other listener can share.
    changed, committing = object(), object()

    def after_begin(session: Session, _: Any, connection: Connection) -> None:
        if connection.engine.pool is engine.pool:
            connection.info[changed] = session.info.setdefault(changed, set())

    def after_execute(connection: Connection, statement: Any, *_: Any) -> None:
        connection.info.get(changed, set()).update(written_tables(statement))

    def before_commit(session: Session) -> None:
        session.info[committing] = not session.in_nested_transaction()

    def after_rollback(session: Session) -> None:
        if not session.in_nested_transaction():
            session.info.pop(committing, None)

    def after_transaction_end(
        session: Session, transaction: SessionTransaction
    ) -> None:
        if transaction.parent is None:
            tables = session.info.pop(changed, set())
            # True also if the connection was lost during COMMIT: it may have succeeded.
            if session.info.pop(committing, False) and tables:
                # SQLAlchemy calls listeners in a greenlet of the session's task.
                await_only(cache.invalidate(*sorted(tables)))

    with ExitStack() as stack:
        for target, name, listener in (
            (Session, "after_begin", after_begin),
            (Session, "before_commit", before_commit),
            (Session, "after_rollback", after_rollback),
            (Session, "after_transaction_end", after_transaction_end),
            (engine, "after_execute", after_execute),
        ):
            event.listen(target, name, listener)
            stack.callback(event.remove, target, name, listener)
        yield


def written_tables(statement: Any) -> set[str]:
    """Return the names of the tables that a statement may change."""
    if isinstance(statement, TextClause):
        return {*_WRITTEN_TABLE.findall(statement.text)}
    if not isinstance(statement, UpdateBase):
        return set()
    table = statement.table
    if not isinstance(table, Table):
        return set()
    if not isinstance(statement, Delete):
        return {table.name}
    tables = [table]
    for parent in tables:
        tables += [
            child
            for child in table.metadata.tables.values()
            if child not in tables
            and any(
                key.ondelete and key.column.table is parent
                for key in child.foreign_keys
            )
        ]
    return {each.name for each in tables}
