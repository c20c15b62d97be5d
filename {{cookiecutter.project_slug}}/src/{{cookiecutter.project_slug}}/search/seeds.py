"""Development data: three documents to search."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ..db import Repository
from .embedder import get_embedder
from .models import Document

TEXTS = (
    "A cat sleeps on the warm windowsill.",
    "The engine weaves algebraic patterns as the loom weaves flowers.",
    "Bread needs flour, water, salt and time.",
)


async def seed(session: AsyncSession) -> str:
    """Insert the documents that do not exist yet, and return a message."""
    query = select(Document.text).where(Document.text.in_(TEXTS))
    existing = {*await session.scalars(query)}
    texts = [text for text in TEXTS if text not in existing]
    vectors = await get_embedder().embed(texts)
    count = await Repository[Document](session).create_many(
        {"text": text, "embedding": vector, "details": {"source": "seed"}}
        for text, vector in zip(texts, vectors, strict=True)
    )
    if not count:
        return "the sample documents are in the database already"
    return f"inserted {count} documents, with their embeddings"
