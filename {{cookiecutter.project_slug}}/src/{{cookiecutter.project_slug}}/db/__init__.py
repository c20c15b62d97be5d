"""Data layer: sessions, transactions, queries, the base of all models."""

from .base import Base, IntegerId, Model, Timestamps, UUIDId
from .database import Database
from .exceptions import (
    CommitOutcomeUnknownError,
    ConstraintViolationError,
    DatabaseLayerError,
    MultipleResultsError,
    NotFoundError,
    PoolTimeoutError,
    UnknownColumnError,
)
from .repository import Page, Repository

__all__ = [
    "Base",
    "CommitOutcomeUnknownError",
    "ConstraintViolationError",
    "Database",
    "DatabaseLayerError",
    "IntegerId",
    "Model",
    "MultipleResultsError",
    "NotFoundError",
    "Page",
    "PoolTimeoutError",
    "Repository",
    "Timestamps",
    "UUIDId",
    "UnknownColumnError",
]
