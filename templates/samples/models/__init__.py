"""Models of the application. A new module in this folder needs no registration."""

from .post import Post, PostStatus
from .profile import Profile
from .tag import Tag
from .user import User

__all__ = ["Post", "PostStatus", "Profile", "Tag", "User"]
