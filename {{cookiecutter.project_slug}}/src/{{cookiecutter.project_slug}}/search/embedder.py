"""Embedders, which turn texts into vectors."""

import asyncio
import math
import re
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import blake2b
from typing import Protocol

from .models import DIMENSION


class Embedder(Protocol):
    """A model that maps similar texts to vectors of similar direction.

    Documents and questions must be embedded by the same model.
    """

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector of `DIMENSION` numbers for each text, in the same order."""
        ...


class HashingEmbedder:
    """Embeds words and parts of words by hashing; it knows nothing of their meaning.

    It needs no model and returns the same vectors in every process: good for tests,
    for development, and until you choose a model.
    """

    def __init__(self, dimension: int = DIMENSION) -> None:
        """Set the length of the vectors."""
        self.dimension = dimension

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a unit vector for each text.

        Raises:
            ValueError: A text has no letters and no digits.
        """
        # In a thread: a long text would block the event loop.
        return await asyncio.to_thread(lambda: [self._vector(text) for text in texts])

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self.dimension
        for feature, weight in _features(text):
            # Not hash(), which differs between processes.
            number = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest())
            sign = 1 if number & 1 else -1
            vector[(number >> 1) % self.dimension] += sign * weight
        length = math.hypot(*vector)
        if not length:
            raise ValueError(f"{text[:40]!r} has no words to compare")
        return [value / length for value in vector]


@cache
def get_embedder() -> Embedder:
    """Return the embedder of the application; return your own model here."""
    return HashingEmbedder()


def _features(text: str) -> Iterator[tuple[str, float]]:
    """Yield the words of a text and, with less weight, their trigrams."""
    for word in re.findall(r"\w+", text.casefold()):
        yield word, 1.0
        framed = f"<{word}>"
        for start in range(len(framed) - 2):
            yield framed[start : start + 3], 0.5
