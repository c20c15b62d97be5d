"""What turns texts into vectors."""

import asyncio
import math
import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Protocol

from .models import DIMENSION


class Embedder(Protocol):
    """Anything that turns texts into vectors: texts that are alike point the same way.

    The documents and the questions must come from the same embedder.
    """

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector of `DIMENSION` numbers for each text, in their order."""
        ...


class HashingEmbedder:
    """Compares texts by their words and parts of words, and knows no meaning.

    It needs no model, and gives the same vectors in every process: for tests, for a
    tour, and until you have chosen a better one.
    """

    def __init__(self, dimension: int = DIMENSION) -> None:
        """Make vectors of so many numbers."""
        self.dimension = dimension

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector of length 1 for each text.

        Raises:
            ValueError: A text has no letter and no digit.
        """
        # Beside other tasks, since a long text takes a while.
        return await asyncio.to_thread(lambda: [self._vector(text) for text in texts])

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self.dimension
        for feature, weight in _features(text):
            # Not hash(), which differs from process to process.
            number = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest())
            sign = 1 if number & 1 else -1
            vector[(number >> 1) % self.dimension] += sign * weight
        length = math.hypot(*vector)
        if not length:
            raise ValueError(f"{text[:40]!r} has no words that could be compared")
        return [value / length for value in vector]


def _features(text: str) -> Iterator[tuple[str, float]]:
    """Yield the words of a text and, with less weight, their parts of three letters."""
    for word in re.findall(r"\w+", text.casefold()):
        yield word, 1.0
        framed = f"<{word}>"
        for start in range(len(framed) - 2):
            yield framed[start : start + 3], 0.5
