"""Serves the API until it is told to end."""

import gc
import logging
import os
import socket
import sys

import uvicorn

from .. import dialect
from ..settings import Settings, SettingsError
from . import logs
from .app import create_app
from .settings import ApiSettings

logger = logging.getLogger(__name__)


def main() -> None:
    """Serve, with what the settings say; requests that run are finished at the end."""
    try:
        settings = ApiSettings()
        app = create_app(settings)
        # Other parts that are served read theirs only when it starts.
        for each in Settings.__subclasses__():
            each()
        # What cannot become a database later, such as a file in a folder of others.
        dialect.create_engine(settings)
    except (SettingsError, OSError) as error:
        sys.exit(f"{error}")
    host, port = settings.api_host, settings.api_port
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        sys.exit(
            f"cannot listen on API_HOST {host}, API_PORT {port}: {reason};"
            " set one of them to another value, as in: make run API_PORT=8001"
        )
    # asyncio does this only for sockets that it has made itself; without it the rest of
    # each response waits for the client to acknowledge its beginning, often for 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    logs.configure()
    logger.info("serving http://%s:%d", host, listener.getsockname()[1])
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=int(settings.api_timeout) + 1,
    )
    # What is there by now stays: no collection of garbage need look through it again.
    gc.collect()
    gc.freeze()
    with listener:
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
