"""Counts statements, so that a test notices when reading a list asks once per row."""

from typing import Any, Self

from sqlalchemy import Engine, event


class Statements(list[str]):
    """The statements that a block sends: `with Statements() as sent: ...`.

    `assert len(sent) == 2` then says how many; BEGIN and COMMIT do not count.
    """

    def __enter__(self) -> Self:
        """Begin to count, on every database of the process."""
        event.listen(Engine, "before_cursor_execute", self._add)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop counting."""
        event.remove(Engine, "before_cursor_execute", self._add)

    def _add(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement != "BEGIN IMMEDIATE":
            self.append(statement)
