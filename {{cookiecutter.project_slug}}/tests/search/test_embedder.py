"""Tests of HashingEmbedder."""

import math

import pytest

from {{cookiecutter.project_slug}}.search.embedder import (
    Embedder,
    HashingEmbedder,
)
from {{cookiecutter.project_slug}}.search.models import DIMENSION


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_texts_with_common_words_are_near() -> None:
    embedder: Embedder = HashingEmbedder(dimension=384)
    cat, cats, ship = await embedder.embed(
        ["The cat sleeps.", "CATS are sleeping", "A ship sails north"]
    )
    assert cosine(cat, cats) > cosine(cat, ship) + 0.2


async def test_vectors_have_the_dimension_and_unit_length() -> None:
    for vector in await HashingEmbedder().embed(["a", "ß 日本", "word " * 1000]):
        assert len(vector) == DIMENSION
        assert math.hypot(*vector) == pytest.approx(1)


async def test_vectors_are_the_same_in_every_process() -> None:
    (vector,) = await HashingEmbedder(dimension=8).embed(["stone"])
    rounded = [round(number, 3) for number in vector]
    assert rounded == [0, -0.302, 0, -0.302, 0.603, 0, 0.302, -0.603]


async def test_text_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'\?!' has no words"):
        await HashingEmbedder().embed(["words", "?!"])
