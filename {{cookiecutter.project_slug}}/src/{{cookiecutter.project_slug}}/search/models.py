"""What can be searched."""

from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from ..models import Base
from . import dialect
from .vectors import Vector

DIMENSION = 384
"""How many numbers an embedding has.

The embedder decides it. After a change, write a revision, and embed the documents anew.
"""


class Document(Base):
    """A text, what is known about it, and the vector that stands for its meaning."""

    __table_args__ = dialect.table_arguments(DIMENSION)

    # First, since what follows it may be long, and a search reads only this.
    embedding: Mapped[list[float]] = mapped_column(Vector(DIMENSION))
    details: Mapped[dict[str, Any]] = mapped_column(dialect.DETAILS, default=dict)
    text: Mapped[str]
