"""Request and response bodies, separate from the models so columns can stay private."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ..models import PostStatus

# Largest integer that every JSON parser represents exactly: 2**53 - 1.
Id = Annotated[int, Field(ge=1, le=9_007_199_254_740_991)]
# No control characters: not every database stores NUL.
ShortText = Annotated[
    str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")
]
LongText = Annotated[str, Field(max_length=100_000, pattern=r"^[^\x00]*$")]
Email = Annotated[
    str, Field(max_length=254, pattern=r"^[^@\x00-\x20]+@[^@\x00-\x20]+$")
]


class ReadModel(BaseModel):
    """Base of response bodies, with the columns that every model has."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(examples=[7])
    created_at: datetime
    updated_at: datetime


class WriteModel(BaseModel):
    """Base of request bodies; an unknown field is an error."""

    model_config = ConfigDict(extra="forbid")


class UserRead(ReadModel):
    """User."""

    email: str = Field(examples=["ada@example.com"])
    name: str = Field(examples=["Ada"])


class UserCreate(WriteModel):
    """New user."""

    email: Email = Field(examples=["ada@example.com"])
    name: ShortText = Field(examples=["Ada"])


class UserUpdate(WriteModel):
    """Changes to a user; omitted fields keep their value."""

    # Omitted is not null: the default factories are never used, and keep null invalid.
    email: Email = Field(default_factory=str, examples=["ada@example.org"])
    name: ShortText = Field(default_factory=str, examples=["Ada Lovelace"])


class PostRead(ReadModel):
    """Post."""

    author_id: int = Field(examples=[7])
    title: str = Field(examples=["On the engine"])
    body: str = Field(examples=["It weaves patterns."])
    status: PostStatus


class PostCreate(WriteModel):
    """New post."""

    author_id: Id = Field(examples=[7])
    title: ShortText = Field(examples=["On the engine"])
    body: LongText = Field(examples=["It weaves patterns."])
    status: PostStatus = PostStatus.DRAFT


class PostUpdate(WriteModel):
    """Changes to a post; omitted fields keep their value."""

    title: ShortText = Field(default_factory=str, examples=["On the engine"])
    body: LongText = Field(default_factory=str, examples=["It weaves patterns."])
    status: PostStatus = Field(
        default_factory=lambda: PostStatus.DRAFT, examples=[PostStatus.PUBLISHED]
    )


class TagRead(ReadModel):
    """Tag."""

    name: str = Field(examples=["python"])


class TagCreate(WriteModel):
    """New tag."""

    name: ShortText = Field(examples=["python"])
