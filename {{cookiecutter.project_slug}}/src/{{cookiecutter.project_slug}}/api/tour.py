"""What the tour shows of the API."""

import asyncio
from collections.abc import Iterator
from typing import Any

from starlette.types import ASGIApp, Message

from ..database import Database
from .app import create_app
from .settings import ApiSettings


async def tour(database: Database) -> None:
    """Ask for everything that can be asked for without a parameter."""
    app = create_app(ApiSettings(**database.settings.model_dump()))
    async with app.router.lifespan_context(app):
        paths = [*open_paths(app.openapi())]
        answers = {await ask(app, path) for path in paths}
    print(f"api       GET {', '.join(paths)}: {', '.join(map(str, answers))}")


def open_paths(document: dict[str, Any]) -> Iterator[str]:
    """Go through the paths of an OpenAPI document that can be read just like that."""
    for path, operations in document["paths"].items():
        parameters = operations.get("get", {}).get("parameters", [])
        if "get" in operations and not any(each["required"] for each in parameters):
            yield path


async def ask(app: ASGIApp, path: str) -> int:
    """Send a request as a server does, and return the status of the answer."""
    request: list[Message] = [{"type": "http.request", "body": b""}]
    answer: list[Message] = []

    async def receive() -> Message:
        return request.pop() if request else await asyncio.Future()

    async def send(message: Message) -> None:
        answer.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"tour")],
        "client": None,
        "server": None,
    }
    await app(scope, receive, send)
    status: int = answer[0]["status"]
    return status
