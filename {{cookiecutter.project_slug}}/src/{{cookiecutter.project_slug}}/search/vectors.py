"""Vectors as the application has them: lists of numbers that point somewhere."""

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Dialect, TypeDecorator
from sqlalchemy.types import TypeEngine

from . import dialect


class Vector(TypeDecorator[list[float]]):
    """A vector of a fixed dimension; it is stored in single precision.

    One that `check` refuses is not stored.
    """

    impl = dialect.IMPLEMENTATION
    cache_ok = True

    def __init__(self, dimension: int) -> None:
        """Keep the number of its numbers."""
        super().__init__()
        self.dimension = dimension

    def load_dialect_impl(self, _dialect: Dialect) -> TypeEngine[Any]:
        """Return the type of the database."""
        return dialect.column_type(self.dimension)

    def process_bind_param(self, value: Any, _dialect: Dialect) -> Any:
        """Check a vector, and write it as the database takes it."""
        if value is None:
            return None
        check(value, self.dimension)
        return dialect.encode(value)

    def process_result_value(self, value: Any, _dialect: Dialect) -> Any:
        """Read what the database stores."""
        return None if value is None else dialect.decode(value)


def check(vector: Sequence[float], dimension: int) -> None:
    """Refuse what has no direction that could be compared.

    Raises:
        ValueError: It has another dimension, a number in it is not finite, or too large
            or too small for single precision, or all are zero.
    """
    if len(vector) != dimension:
        raise ValueError(f"a vector has {dimension} numbers here, not {len(vector)}")
    length = math.hypot(*vector)
    if not math.isfinite(length):
        raise ValueError("a vector has only finite numbers, and here one is not")
    if not length:
        raise ValueError("a vector of zeros points nowhere, so nothing is near to it")
    # Databases compute with squares of numbers of single precision.
    if not 1e-15 < length < 1e15:
        raise ValueError(f"a vector of length {length:g} is too long or too short")
