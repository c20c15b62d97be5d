"""What handlers ask for: a session that writes, or one that reads."""

import logging
from collections.abc import AsyncIterator
from secrets import compare_digest
from typing import Annotated

from fastapi import Depends, HTTPException
from fastapi.requests import HTTPConnection
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

logger = logging.getLogger(__name__)

bearer = HTTPBearer(
    auto_error=False, scheme_name="token", description="What `API_TOKEN` says."
)


async def may_write(
    connection: HTTPConnection,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> None:
    """Let nobody write who does not know `API_TOKEN`, and nobody at all without one.

    Put your own check of who may do what here, when you have one.

    Raises:
        HTTPException: 401 for a token that is missing or wrong, 503 while none is set.
    """
    token = connection.app.state.settings.api_token
    if token is None:
        logger.warning("writing is closed: set API_TOKEN to open it")
        raise HTTPException(503, "writing is closed")
    if given is None:
        raise HTTPException(
            401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"}
        )
    expected = token.get_secret_value().encode()
    # In constant time, so that how long it takes tells nothing of the token.
    if not compare_digest(given.credentials.encode(), expected):
        raise HTTPException(
            401,
            "this is not the token",
            {"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )


async def transaction(
    connection: HTTPConnection, _: Annotated[None, Depends(may_write)]
) -> AsyncIterator[AsyncSession]:
    """Open one transaction for the request, for those who may write."""
    async with connection.app.state.database.transaction() as session:
        yield session


async def reader(connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
    """Open one session for reading for the request."""
    async with connection.app.state.database.reader() as session:
        yield session


# Scope "function" ends them before the response is sent. FastAPI's default ends them
# after: then a client hears 201 of what a COMMIT that fails has not stored.
Session = Annotated[AsyncSession, Depends(transaction, scope="function")]
"""A session in the request's transaction, for those who may write.

It is committed before the response is sent, and rolled back when the handler raises,
when it takes too long, or when the client goes away.
"""

Reader = Annotated[AsyncSession, Depends(reader, scope="function")]
"""A session for reading; its connection is given back before the response is sent."""
