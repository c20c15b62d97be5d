"""The documents that can be searched."""

from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from ..db import Model
from . import backend
from .vectors import Vector

DIMENSION = 384
"""Numbers in an embedding, as the embedder returns them.

After a change, generate a revision and embed the documents again: docs/search.md.
"""


class Document(Model):
    """A text with its embedding, and details to filter by."""

    __table_args__ = backend.table_args(DIMENSION)

    # The first column, because a scan reads it without the long text that follows.
    embedding: Mapped[list[float]] = mapped_column(Vector(DIMENSION))
    details: Mapped[dict[str, Any]] = mapped_column(backend.DETAILS_TYPE, default=dict)
    text: Mapped[str]
