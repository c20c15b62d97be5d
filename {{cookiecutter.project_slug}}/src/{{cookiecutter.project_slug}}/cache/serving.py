"""The cache in the API: opened and closed with it, invalidated by what it writes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.requests import HTTPConnection

from .client import Cache
from .invalidation import invalidating
from .settings import CacheSettings


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the cache as `app.state.cache`, and add it to what has to be ready."""
    async with Cache(CacheSettings()) as cache:
        app.state.cache = cache
        if cache.enabled:
            app.state.checks["redis"] = cache.ping
        with invalidating(cache, app.state.database):
            yield


def cache_of(connection: HTTPConnection) -> Cache:
    """Return the cache of the application."""
    cache: Cache = connection.app.state.cache
    return cache


Cached = Annotated[Cache, Depends(cache_of)]
"""The cache, for handlers.

Open a session in what loads, not beside it: then a hit needs no connection.
"""
