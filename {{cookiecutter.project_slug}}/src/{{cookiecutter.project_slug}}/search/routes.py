"""Documents and the search for the nearest, over HTTP."""

from datetime import datetime
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import defer

from ..api import etags, problems
from ..api.dependencies import Reader, Session, may_write
from ..api.etags import IfNoneMatch
from ..api.pages import Page, Paging
from ..repository import Repository
from . import models
from .embedder import Embedder, HashingEmbedder
from .nearest import nearest

router = APIRouter(tags=["search"])

# As large as a number can be that each reader of JSON takes for itself.
LARGEST = 2**53 - 1

# Not every database stores a NUL.
Text = Annotated[str, Field(min_length=1, max_length=20_000, pattern=r"^[^\x00]+$")]
Word = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
Number = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
Fraction = Annotated[float, Field(allow_inf_nan=False)]
Value = bool | Number | Fraction | Word | None
Details = Annotated[
    dict[Word, Value | Annotated[list[Value], Field(max_length=100)]],
    Field(max_length=100),
]
DocumentId = Annotated[int, Path(ge=1, le=LARGEST, examples=[7])]


class Document(BaseModel):
    """A document, without its vector."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(examples=[7])
    created_at: datetime
    updated_at: datetime
    text: str = Field(examples=["Looms weave flowers."])
    details: dict[str, Any] = Field(examples=[{"year": 2026}])


class NewDocument(BaseModel):
    """A document to add."""

    model_config = ConfigDict(extra="forbid")

    text: Text = Field(examples=["Looms weave flowers."])
    details: Details = Field(default_factory=dict, examples=[{"year": 2026}])


class Question(BaseModel):
    """What to search for."""

    model_config = ConfigDict(extra="forbid")

    text: Text = Field(examples=["What do looms weave?"])
    k: int = Field(default=10, ge=1, le=100, description="How many documents at most.")
    filters: Details = Field(
        default_factory=dict,
        description="What the details must say; a list means any of its values.",
        examples=[{"year": [2025, 2026]}],
    )


class Hit(BaseModel):
    """A document that was found."""

    model_config = ConfigDict(from_attributes=True)

    document: Document
    distance: float = Field(
        description="0 for the same direction, 1 for a right angle, 2 for the opposite.",
        examples=[0.25],
    )


@cache
def embedder() -> Embedder:
    """Make what turns texts into vectors here: put yours in its place."""
    return HashingEmbedder()


async def embed(text: str, embedder: Embedder) -> list[float]:
    """Return the vector of a text that a client sent.

    Raises:
        RequestValidationError: The text has nothing that could be compared.
    """
    try:
        (vector,) = await embedder.embed([text])
    except ValueError as error:
        wrong = {"loc": ("body", "text"), "msg": str(error)}
        raise RequestValidationError([wrong]) from None
    return vector


# Before a session is opened: an embedder may take long, and a session keeps others out.
async def embed_document(
    new: NewDocument, embedder: Annotated[Embedder, Depends(embedder)]
) -> dict[str, Any]:
    """Return what the row of a new document holds."""
    return {**new.model_dump(), "embedding": await embed(new.text, embedder)}


async def embed_question(
    question: Question, embedder: Annotated[Embedder, Depends(embedder)]
) -> dict[str, Any]:
    """Return what `nearest` takes for a question."""
    vector = await embed(question.text, embedder)
    return {"vector": vector, "k": question.k, "filters": question.filters}


@router.get("/documents")
async def list_documents(session: Reader, paging: Paging) -> Page[Document]:
    """List the documents in the order in which they came."""
    without_vector = defer(models.Document.embedding, raiseload=True)
    documents = Repository[models.Document](session)
    return await paging.page(documents, Document, without_vector)


@router.post(
    "/documents",
    status_code=201,
    dependencies=[Depends(may_write)],
    responses={201: etags.CREATED},
)
async def create_document(
    row: Annotated[dict[str, Any], Depends(embed_document)],
    session: Session,
    request: Request,
    response: Response,
) -> Document:
    """Add a document; its vector is made here."""
    created = await Repository[models.Document](session).create(**row)
    document = Document.model_validate(created)
    response.headers["Location"] = f"{request.scope['path']}/{document.id}"
    response.headers["ETag"] = etags.etag(document)
    return document


@router.get(
    "/documents/{document_id}",
    response_model=Document,
    responses={**etags.READ, **problems.documented(404)},
)
async def get_document(
    session: Reader, document_id: DocumentId, known: IfNoneMatch
) -> Any:
    """Return one document."""
    row = await Repository[models.Document](session).get(document_id)
    return known.answer(Document.model_validate(row))


@router.delete(
    "/documents/{document_id}", status_code=204, responses=problems.documented(404)
)
async def delete_document(session: Session, document_id: DocumentId) -> None:
    """Delete a document."""
    await Repository[models.Document](session).delete(document_id)


@router.post("/search")
async def search(
    question: Annotated[dict[str, Any], Depends(embed_question)], session: Reader
) -> list[Hit]:
    """Return the documents nearest to a question, the nearest first."""
    hits = await nearest(session, **question)
    return [Hit.model_validate(hit) for hit in hits]
