"""Whether the process lives, and whether it can work."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from .. import checks

router = APIRouter(prefix="/health", tags=["health"])


class Liveness(BaseModel):
    """That the process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether requests can be answered, and if not, why."""

    status: Literal["ok", "unavailable"]
    checks: Annotated[
        dict[str, str],
        Field(examples=[{"database": "ok", "migrations": "ok"}]),
    ]


@router.get("/live")
async def check_liveness() -> Liveness:
    """Say that the process answers; restart it when it does not."""
    return Liveness()


@router.get("/ready", responses={503: {"model": Readiness}})
async def check_readiness(request: Request, response: Response) -> Readiness:
    """Say whether all that is needed works; send no requests here when it does not."""
    wrong = await checks.run(request.app.state.checks)
    if wrong:
        response.status_code = 503
    return Readiness(
        status="unavailable" if wrong else "ok",
        checks={name: wrong.get(name, "ok") for name in request.app.state.checks},
    )
