"""What is served from the cache: nothing yet, but it is open, for all handlers."""

from fastapi import APIRouter

from .serving import lifespan

router = APIRouter(lifespan=lifespan)
