"""An embedder that learns from texts of yours which words belong together.

It is latent semantic analysis: words that occur in the same texts come to point the same
way. It downloads nothing. Its library comes with `pip install <project>[learned]`.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from .models import DIMENSION


class LearnedEmbedder:
    """Turns texts into vectors by what it has learned: `LearnedEmbedder.learn(texts)`.

    Keep it with `save`: one that learns again gives other vectors, and the documents
    must then be embedded anew.
    """

    def __init__(self, words: Sequence[str], weights: Any) -> None:
        """Take what `learn` found: words, and a row of `DIMENSION` numbers for each."""
        self.words = list(words)
        self.weights = weights
        self._counter = CountVectorizer(vocabulary=self.words)

    @classmethod
    def learn(cls, texts: Sequence[str]) -> Self:
        """Learn from texts; a few thousand of the kind that is to be searched are good.

        Raises:
            ValueError: There are fewer than two different words.
        """
        rarity = TfidfVectorizer(sublinear_tf=True)
        table = rarity.fit_transform(texts)
        documents, words = table.shape
        if words < 2:
            raise ValueError("there is nothing to learn from texts of a single word")
        # With as many directions as texts, words would not have to share any.
        kept = max(1, min(DIMENSION, documents // 4, words - 1))
        reduced = TruncatedSVD(kept, random_state=0).fit(table)
        weights = np.zeros((words, DIMENSION), np.float32)
        weights[:, :kept] = (reduced.components_ * rarity.idf_).T
        return cls(list(rarity.get_feature_names_out()), weights)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector of length 1 for each text, without blocking other tasks.

        Raises:
            ValueError: None of the words of a text was learned.
        """
        return await asyncio.to_thread(self._embed, texts)

    def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        counts = self._counter.transform(texts)
        counts.data = 1 + np.log(counts.data)
        vectors = counts @ self.weights
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        for text, length in zip(texts, lengths, strict=True):
            if length < 1e-9:
                raise ValueError(f"no word of {text[:40]!r} was learned")
        return [[float(value) for value in vector] for vector in vectors / lengths]

    def save(self, path: Path) -> None:
        """Write what was learned to a file, whose name ends in `.npz`."""
        np.savez_compressed(path, words=np.array(self.words), weights=self.weights)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; the file can hold no code."""
        with np.load(path, allow_pickle=False) as file:
            return cls([str(word) for word in file["words"]], file["weights"])
