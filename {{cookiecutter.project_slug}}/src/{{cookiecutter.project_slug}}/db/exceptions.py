"""Exceptions that the data layer raises."""


class DatabaseLayerError(Exception):
    """Base class of all exceptions of the data layer."""


class NotFoundError(DatabaseLayerError):
    """No row matches."""


class MultipleResultsError(DatabaseLayerError):
    """Several rows match where one was expected."""


class UnknownColumnError(DatabaseLayerError):
    """The model has no such column."""


class ConstraintViolationError(DatabaseLayerError):
    """A row violates a constraint of the database.

    Attributes:
        constraint: The constraint's name, or None where the database does not tell.
    """

    def __init__(self, message: str, constraint: str | None) -> None:
        """Keep the constraint's name beside the message."""
        super().__init__(message)
        self.constraint = constraint


class PoolTimeoutError(DatabaseLayerError):
    """No connection became free within DATABASE_POOL_TIMEOUT."""


class CommitOutcomeUnknownError(DatabaseLayerError):
    """The connection was lost during COMMIT, so the changes may or may not be stored.

    Check whether they are before you repeat them.
    """
