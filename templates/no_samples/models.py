"""The models; a new module of this folder, or any `models.py`, is found by itself."""

from .base import Base

__all__ = ["Base"]
