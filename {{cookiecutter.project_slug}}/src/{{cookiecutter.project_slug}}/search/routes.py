"""Routes of documents and vector search."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import defer

from ..api import etags
from ..api.dependencies import (
    ReadSessionDep,
    SessionDep,
    require_write_token,
)
from ..api.errors import responses
from ..api.etags import IfNoneMatchDep
from ..api.pagination import Page, PaginationDep
from ..db import Repository
from .embedder import Embedder, get_embedder
from .models import Document
from .queries import nearest

router = APIRouter(tags=["search"])

MAX_JSON_INTEGER = 2**53 - 1
"""Largest integer that every JSON parser represents exactly."""

# No NUL: not every database stores one.
Text = Annotated[str, Field(min_length=1, max_length=20_000, pattern=r"^[^\x00]+$")]
ShortText = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
Integer = Annotated[int, Field(ge=-MAX_JSON_INTEGER, le=MAX_JSON_INTEGER)]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
Value = bool | Integer | FiniteFloat | ShortText | None
Details = Annotated[
    dict[ShortText, Value | Annotated[list[Value], Field(max_length=100)]],
    Field(max_length=100),
]
DocumentId = Annotated[int, Path(ge=1, le=MAX_JSON_INTEGER, examples=[7])]


class DocumentRead(BaseModel):
    """Document, without its embedding."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(examples=[7])
    created_at: datetime
    updated_at: datetime
    text: str = Field(examples=["Looms weave flowers."])
    details: dict[str, Any] = Field(examples=[{"year": 2026}])


class DocumentCreate(BaseModel):
    """New document."""

    model_config = ConfigDict(extra="forbid")

    text: Text = Field(examples=["Looms weave flowers."])
    details: Details = Field(default_factory=dict, examples=[{"year": 2026}])


class SearchRequest(BaseModel):
    """Question, with filters."""

    model_config = ConfigDict(extra="forbid")

    text: Text = Field(examples=["What do looms weave?"])
    k: int = Field(default=10, ge=1, le=100, description="Maximum number of hits.")
    filters: Details = Field(
        default_factory=dict,
        description="Required values of the details; any value of a list matches.",
        examples=[{"year": [2025, 2026]}],
    )


class SearchHit(BaseModel):
    """Document found by a search."""

    model_config = ConfigDict(from_attributes=True)

    document: DocumentRead
    distance: float = Field(
        description="Cosine distance: 0 same direction, 1 right angle, 2 opposite.",
        examples=[0.25],
    )


EmbedderDep = Annotated[Embedder, Depends(get_embedder)]


async def embed_text(text: str, embedder: Embedder) -> list[float]:
    """Return the embedding of a text from a request.

    Raises:
        RequestValidationError: The embedder refuses the text.
    """
    try:
        (vector,) = await embedder.embed([text])
    except ValueError as error:
        detail = {"loc": ("body", "text"), "msg": str(error)}
        raise RequestValidationError([detail]) from None
    return vector


# Dependencies embed before the session opens: a slow model must not hold a connection.
async def embed_document(data: DocumentCreate, embedder: EmbedderDep) -> dict[str, Any]:
    """Return the columns of a new document."""
    return {**data.model_dump(), "embedding": await embed_text(data.text, embedder)}


async def embed_question(
    question: SearchRequest, embedder: EmbedderDep
) -> dict[str, Any]:
    """Return the arguments of `nearest` for a question."""
    vector = await embed_text(question.text, embedder)
    return {"vector": vector, "k": question.k, "filters": question.filters}


@router.get("/documents")
async def list_documents(
    session: ReadSessionDep, pagination: PaginationDep
) -> Page[DocumentRead]:
    """List documents, oldest first."""
    without_vector = defer(Document.embedding, raiseload=True)
    documents = Repository[Document](session)
    return await pagination.page(documents, DocumentRead, without_vector)


@router.post(
    "/documents",
    status_code=201,
    dependencies=[Depends(require_write_token)],
    responses={201: etags.CREATED},
)
async def create_document(
    columns: Annotated[dict[str, Any], Depends(embed_document)],
    session: SessionDep,
    request: Request,
    response: Response,
) -> DocumentRead:
    """Embed and create a document."""
    row = await Repository[Document](session).create(**columns)
    document = DocumentRead.model_validate(row)
    response.headers["Location"] = f"{request.scope['path']}/{document.id}"
    response.headers["ETag"] = etags.etag(document)
    return document


@router.get(
    "/documents/{document_id}",
    response_model=DocumentRead,
    responses={**etags.READ, **responses(404)},
)
async def get_document(
    session: ReadSessionDep, document_id: DocumentId, if_none_match: IfNoneMatchDep
) -> Any:
    """Return a document."""
    row = await Repository[Document](session).get(document_id)
    return if_none_match.respond(DocumentRead.model_validate(row))


@router.delete("/documents/{document_id}", status_code=204, responses=responses(404))
async def delete_document(session: SessionDep, document_id: DocumentId) -> None:
    """Delete a document."""
    await Repository[Document](session).delete(document_id)


@router.post("/search")
async def search(
    arguments: Annotated[dict[str, Any], Depends(embed_question)],
    session: ReadSessionDep,
) -> list[SearchHit]:
    """Return the documents nearest to a question, nearest first."""
    hits = await nearest(session, **arguments)
    return [SearchHit.model_validate(hit) for hit in hits]
