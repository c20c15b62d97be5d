"""What the API takes and gives: never a row itself, so that columns can stay private."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ..models import PostStatus

# As large as a number can be that each reader of JSON takes for itself: 2**53 - 1.
Id = Annotated[int, Field(ge=1, le=9_007_199_254_740_991)]
# Not every database stores a NUL.
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
Text = Annotated[str, Field(max_length=100_000, pattern=r"^[^\x00]*$")]
Email = Annotated[
    str, Field(max_length=254, pattern=r"^[^@\x00-\x20]+@[^@\x00-\x20]+$")
]


class Row(BaseModel):
    """What each row has."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(examples=[7])
    created_at: datetime
    updated_at: datetime


class Input(BaseModel):
    """What clients send; a field that nobody knows is an error."""

    model_config = ConfigDict(extra="forbid")


class User(Row):
    """A person."""

    email: str = Field(examples=["ada@example.com"])
    name: str = Field(examples=["Ada"])


class NewUser(Input):
    """A person to add."""

    email: Email = Field(examples=["ada@example.com"])
    name: Line = Field(examples=["Ada"])


class UserChanges(Input):
    """What to change of a person; what is left out stays."""

    # Left out is not the same as null, so the defaults are of no use and not shown.
    email: Email = Field(default_factory=str, examples=["ada@example.org"])
    name: Line = Field(default_factory=str, examples=["Ada Lovelace"])


class Post(Row):
    """What a person has written."""

    author_id: int = Field(examples=[7])
    title: str = Field(examples=["On the engine"])
    body: str = Field(examples=["It weaves patterns."])
    status: PostStatus


class NewPost(Input):
    """A post to add."""

    author_id: Id = Field(examples=[7])
    title: Line = Field(examples=["On the engine"])
    body: Text = Field(examples=["It weaves patterns."])
    status: PostStatus = PostStatus.DRAFT


class PostChanges(Input):
    """What to change of a post; what is left out stays."""

    title: Line = Field(default_factory=str, examples=["On the engine"])
    body: Text = Field(default_factory=str, examples=["It weaves patterns."])
    status: PostStatus = Field(
        default_factory=lambda: PostStatus.DRAFT, examples=[PostStatus.PUBLISHED]
    )


class Tag(Row):
    """A word that people choose for themselves."""

    name: str = Field(examples=["python"])


class NewTag(Input):
    """A tag to add."""

    name: Line = Field(examples=["python"])
