"""Liveness and readiness probes."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from ...health import run_checks

router = APIRouter(prefix="/health", tags=["health"])


class Liveness(BaseModel):
    """Liveness of the process."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Readiness for requests: each check with "ok" or the reason it failed."""

    status: Literal["ok", "unavailable"]
    checks: Annotated[
        dict[str, str],
        Field(examples=[{"database": "ok", "migrations": "ok"}]),
    ]


@router.get("/live")
async def check_liveness() -> Liveness:
    """Liveness probe: restart the process if it does not respond."""
    return Liveness()


@router.get("/ready", responses={503: {"model": Readiness}})
async def check_readiness(request: Request, response: Response) -> Readiness:
    """Readiness probe: route no traffic here while it responds 503."""
    failures = await run_checks(request.app.state.checks)
    if failures:
        response.status_code = 503
    return Readiness(
        status="unavailable" if failures else "ok",
        checks={name: failures.get(name, "ok") for name in request.app.state.checks},
    )
