"""The part of the tour that searches."""

from sqlalchemy.ext.asyncio import AsyncSession

from ..database import Database
from ..repository import Repository
from .embedder import HashingEmbedder
from .models import Document
from .nearest import nearest

TEXTS = (
    "A cat sleeps on the warm windowsill.",
    "The engine weaves algebraic patterns as the loom weaves flowers.",
    "Bread needs flour, water, salt and time.",
)
QUESTION = "What do looms weave?"


async def write(session: AsyncSession) -> None:
    """Store three documents with their vectors, if they are not there."""
    documents = Repository[Document](session)
    if await documents.exists(text=list(TEXTS)):
        print("embed     three documents are here already")
        return
    vectors = await HashingEmbedder().embed(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        await documents.create(text=text, embedding=vector, details={"from": "tour"})
    print("embed     three documents, by their words")


async def tour(database: Database) -> None:
    """Store documents and find the one that is nearest to a question."""
    async with database.transaction() as session:
        await write(session)
    (question,) = await HashingEmbedder().embed([QUESTION])
    async with database.reader() as session:
        hits = await nearest(session, question, k=1, filters={"from": "tour"})
    for hit in hits:
        print(f"search    {QUESTION} {hit.document.text} ({hit.distance:.2f})")
