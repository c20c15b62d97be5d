"""Commands of the API: `serve`, and the port check of `doctor`."""

import gc
import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..settings import Settings
from .settings import ApiSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ..health import CheckResult

# The command line imports this module for every command, so functions import the rest.

logger = logging.getLogger(__name__)

app = typer.Typer()


@app.command()
def serve(
    reload: Annotated[
        bool, typer.Option("--reload", help="Restart when a source file changes.")
    ] = False,
) -> None:
    """Serve the API until Ctrl-C, then finish the requests in flight."""
    settings = ApiSettings()
    application = _create_application(settings)
    if reload:
        _run_with_reload(settings)
    else:
        _run(application, settings)


def _create_application(settings: ApiSettings) -> "FastAPI":
    """Create the application, and fail for anything that a restart cannot fix."""
    from ..db.engine import create_engine
    from .app import create_app

    application = create_app(settings)
    # A feature reads its own settings only when the application starts.
    for feature_settings in Settings.__subclasses__():
        feature_settings()
    create_engine(settings)
    return application


def _run(application: "FastAPI", settings: ApiSettings) -> None:
    import uvicorn

    from . import logs

    host = settings.api_host
    listener = _listen(host, settings.api_port)
    logs.configure()
    logger.info("serving http://%s:%d", host, listener.getsockname()[1])
    config = uvicorn.Config(
        application,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=int(settings.api_timeout) + 1,
    )
    # Modules and routes live as long as the process: exempt them from every collection.
    gc.collect()
    gc.freeze()
    with listener:
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            pass


def _run_with_reload(settings: ApiSettings) -> None:
    import uvicorn

    uvicorn.run(
        f"{__package__}.app:app",
        host=settings.api_host,
        port=settings.api_port,
        reload=True,
        reload_dirs=[str(Path(__file__).parents[1])],
        server_header=False,
    )


async def check_port() -> "CheckResult":
    """Check that the port is free."""
    from ..health import CheckResult

    settings = ApiSettings()
    host, port = settings.api_host, settings.api_port
    try:
        _create_listener(host, port).close()
    except OSError as error:
        message = f"{port}: {_reason(error)}; set API_PORT unless the API runs already"
        return CheckResult("warn", "port", message)
    return CheckResult("ok", "port", f"{port} is free")


doctor_checks = (check_port,)


def _listen(host: str, port: int) -> socket.socket:
    """Open the listening socket, or exit with the setting to change."""
    try:
        listener = _create_listener(host, port)
    except OSError as error:
        sys.exit(
            f"cannot listen on API_HOST {host}, API_PORT {port}: {_reason(error)};"
            " choose another port, for example API_PORT=8001"
        )
    # asyncio sets this only on sockets that it opens. Without it, the body of a response
    # waits for the client's delayed ACK of the headers, often for 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _create_listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
