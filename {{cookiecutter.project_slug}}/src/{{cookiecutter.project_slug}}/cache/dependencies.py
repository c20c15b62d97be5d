"""The cache of the API: its lifespan and the dependency for handlers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.requests import HTTPConnection

from .client import Cache
from .invalidation import invalidate_on_commit
from .settings import CacheSettings


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the cache as `app.state.cache`, and check Redis in `/health/ready`."""
    async with Cache(CacheSettings()) as cache:
        app.state.cache = cache
        if cache.enabled:
            app.state.checks["redis"] = cache.ping
        with invalidate_on_commit(cache, app.state.database):
            yield


def get_cache(connection: HTTPConnection) -> Cache:
    """Return the cache of the application."""
    cache: Cache = connection.app.state.cache
    return cache


CacheDep = Annotated[Cache, Depends(get_cache)]
"""The cache, as a parameter of a handler.

Open the session inside the function that loads: then a hit needs no connection.
"""
