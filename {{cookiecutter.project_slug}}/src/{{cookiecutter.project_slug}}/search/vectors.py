"""The column type of vectors, and their validation."""

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Dialect, TypeDecorator
from sqlalchemy.types import TypeEngine

from . import backend


class Vector(TypeDecorator[list[float]]):
    """A vector of fixed dimension, stored in single precision.

    A vector that fails `validate_vector` is refused.
    """

    impl = backend.VECTOR_IMPL
    cache_ok = True

    def __init__(self, dimension: int) -> None:
        """Set the dimension."""
        super().__init__()
        self.dimension = dimension

    def load_dialect_impl(self, _dialect: Dialect) -> TypeEngine[Any]:
        """Return the column type of the database."""
        return backend.vector_type(self.dimension)

    def process_bind_param(self, value: Any, _dialect: Dialect) -> Any:
        """Validate a vector and encode it for the database."""
        if value is None:
            return None
        validate_vector(value, self.dimension)
        return backend.encode(value)

    def process_result_value(self, value: Any, _dialect: Dialect) -> Any:
        """Decode the value of the database."""
        return None if value is None else backend.decode(value)


def validate_vector(vector: Sequence[float], dimension: int) -> None:
    """Refuse a vector whose direction cannot be compared.

    Raises:
        ValueError: It has another dimension, is all zeros, or has numbers that are not
            finite or beyond single precision.
    """
    if len(vector) != dimension:
        raise ValueError(f"a vector needs {dimension} numbers, not {len(vector)}")
    length = math.hypot(*vector)
    if not math.isfinite(length):
        raise ValueError("a vector needs finite numbers only")
    if not length:
        raise ValueError("a vector of zeros has no direction to compare")
    # Databases square the numbers in single precision.
    if not 1e-15 < length < 1e15:
        raise ValueError(f"a vector of length {length:g} is too long or too short")
