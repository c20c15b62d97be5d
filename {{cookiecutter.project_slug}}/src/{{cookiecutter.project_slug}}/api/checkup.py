"""What `make doctor` looks at for the API."""

import os
import socket

from .settings import ApiSettings


async def look() -> tuple[str, str, str]:
    """See whether the port is free."""
    settings = ApiSettings()
    host, port = settings.api_host, settings.api_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        said = f"{reason}; set another API_PORT, unless this API has it already"
        return "warn", "port", f"{port}: {said}"
    return "ok", "port", f"{port} is free"
