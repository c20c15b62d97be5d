"""A router without routes: its lifespan opens the cache for every handler."""

from fastapi import APIRouter

from .dependencies import lifespan

router = APIRouter(lifespan=lifespan)
