"""Tests of the development data."""

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from {{cookiecutter.project_slug}}.db import Repository
from {{cookiecutter.project_slug}}.search import seeds
from {{cookiecutter.project_slug}}.search.embedder import (
    HashingEmbedder,
)
from {{cookiecutter.project_slug}}.search.models import Document
from {{cookiecutter.project_slug}}.search.queries import nearest


@pytest.fixture(autouse=True)
def hashing_embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the model of the application out of the tests."""
    monkeypatch.setattr(seeds, "get_embedder", HashingEmbedder)


async def test_seed_adds_documents_once(session: AsyncSession) -> None:
    documents = Repository[Document](session)
    assert await seeds.seed(session) == "inserted 3 documents, with their embeddings"
    first = [document.id for document in await documents.get_all()]
    assert "already" in await seeds.seed(session)
    assert [document.id for document in await documents.get_all()] == first
    assert len(first) == 3


async def test_seed_adds_missing_documents_only(session: AsyncSession) -> None:
    documents = Repository[Document](session)
    await seeds.seed(session)
    await documents.delete((await documents.get_last()).id)
    await seeds.seed(session)
    assert await documents.count() == 3


async def test_seeded_documents_are_found(session: AsyncSession) -> None:
    await seeds.seed(session)
    _, question, _ = await HashingEmbedder().embed(seeds.TEXTS)
    (hit,) = await nearest(session, question, k=1, filters={"source": "seed"})
    assert hit.document.text == seeds.TEXTS[1]
