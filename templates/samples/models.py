"""The models; a new module of this folder, or any `models.py`, is found by itself."""

from .base import Base
from .post import Post, PostStatus
from .profile import Profile
from .tag import Tag
from .user import User

__all__ = ["Base", "Post", "PostStatus", "Profile", "Tag", "User"]
