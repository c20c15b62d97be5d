"""Counter of statements, so a test notices when a list sends one for each row."""

from typing import Any, Self

from sqlalchemy import Engine, event


class QueryCounter(list[str]):
    """Statements sent in a block: `with QueryCounter() as sent: ...`.

    `assert len(sent) == 2` then checks their number; BEGIN and COMMIT do not count.
    """

    def __enter__(self) -> Self:
        """Start to count, on every database of the process."""
        event.listen(Engine, "before_cursor_execute", self._add)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop counting."""
        event.remove(Engine, "before_cursor_execute", self._add)

    def _add(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement != "BEGIN IMMEDIATE":
            self.append(statement)
