"""Tests of the embedder that learns."""

from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from {{cookiecutter.project_slug}}.search.learned import (
    LearnedEmbedder,
)

TEXTS = [
    "the car needs petrol and new tyres",
    "an automobile needs petrol on the motorway",
    "new tyres for the automobile",
    "the car left the motorway",
    "bread needs flour and yeast",
    "the baker kneads flour and water",
    "yeast makes the dough rise",
    "the baker bakes bread and cake",
]


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_words_of_the_same_texts_are_near_without_being_in_one() -> None:
    car, automobile, dough = await LearnedEmbedder.learn(TEXTS).embed(
        ["car", "automobile", "dough"]
    )
    assert cosine(car, automobile) > cosine(car, dough) + 0.3


async def test_what_was_learned_can_be_kept(tmp_path: Path) -> None:
    embedder = LearnedEmbedder.learn(TEXTS)
    embedder.save(tmp_path / "learned.npz")
    kept = LearnedEmbedder.load(tmp_path / "learned.npz")
    assert await kept.embed(TEXTS) == await embedder.embed(TEXTS)


async def test_a_text_of_which_no_word_was_learned_is_refused() -> None:
    with pytest.raises(ValueError, match="no word of 'xylophone' was learned"):
        await LearnedEmbedder.learn(TEXTS).embed(["bread", "xylophone"])


def test_there_must_be_something_to_learn() -> None:
    with pytest.raises(ValueError, match="nothing to learn"):
        LearnedEmbedder.learn(["word", "word"])
