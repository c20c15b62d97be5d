"""Dependencies of the routes: database sessions and the write token."""

import logging
from collections.abc import AsyncGenerator
from secrets import compare_digest
from typing import Annotated

from fastapi import Depends, HTTPException
from fastapi.requests import HTTPConnection
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

logger = logging.getLogger(__name__)

bearer = HTTPBearer(
    auto_error=False, scheme_name="token", description="The value of `API_TOKEN`."
)


async def require_write_token(
    connection: HTTPConnection,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> None:
    """Require the bearer token in `API_TOKEN`; without that setting, refuse every write.

    Replace the body with your own authorization.

    Raises:
        HTTPException: 401 if the token is missing or invalid, 503 if none is configured.
    """
    token = connection.app.state.settings.api_token
    if token is None:
        logger.warning("writes are disabled: set API_TOKEN to enable them")
        raise HTTPException(503, "Writes are disabled.")
    if credentials is None:
        raise HTTPException(
            401, "A bearer token is required.", {"WWW-Authenticate": "Bearer"}
        )
    expected = token.get_secret_value().encode()
    # Constant time, so the duration reveals nothing about the token.
    if not compare_digest(credentials.credentials.encode(), expected):
        raise HTTPException(
            401,
            "The bearer token is invalid.",
            {"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )


async def get_session(
    connection: HTTPConnection, _: Annotated[None, Depends(require_write_token)]
) -> AsyncGenerator[AsyncSession]:
    """Open a session in the request's transaction."""
    async with connection.app.state.database.transaction() as session:
        yield session


async def get_read_session(connection: HTTPConnection) -> AsyncGenerator[AsyncSession]:
    """Open a read-only session without a transaction."""
    async with connection.app.state.database.read_session() as session:
        yield session


# Scope "function" commits before the response is sent. FastAPI's default commits after
# it, so a client could receive 201 for a row that a failed COMMIT has not stored.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
"""Session in the request's transaction; requires the write token.

The transaction commits before the response is sent. It rolls back if the handler
raises, or if the request times out or the client disconnects before the COMMIT.
"""

ReadSessionDep = Annotated[AsyncSession, Depends(get_read_session, scope="function")]
"""Read-only session; its connection returns to the pool before the response is sent."""
