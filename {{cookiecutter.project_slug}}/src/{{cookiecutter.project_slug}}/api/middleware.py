"""What happens to each request before and after it is handled."""

import asyncio
import logging
import re
import time
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import problems
from .logs import Call, current

logger = logging.getLogger(__name__)

SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""What each response carries, unless its handler says otherwise."""


class Access:
    """Gives each request an id, a line in the log, and an answer in any case."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        call = Call(_request_id(scope))
        token = current.set(call)
        started = time.perf_counter()
        status: int | None = None

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                given = {name for name, _ in headers}
                headers += [each for each in SECURITY_HEADERS if each[0] not in given]
                headers.append((b"x-request-id", call.id.encode()))
                message["headers"] = headers
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except Exception:
            logger.exception("this should not have happened")
            if status is None:
                await problems.answer(500)(scope, receive, sending)
        finally:
            probe = scope["path"].startswith("/health/")
            logger.log(
                logging.DEBUG if probe else logging.INFO,
                "request",
                extra={
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "ms": round((time.perf_counter() - started) * 1000, 1),
                    "statements": call.statements,
                },
            )
            current.reset(token)


class Limits:
    """Ends requests that are too large or take too long, or that nobody waits for."""

    def __init__(self, app: ASGIApp, max_body: int, timeout: float) -> None:
        """Wrap an application.

        Args:
            app: The application.
            max_body: How many bytes a request's body may have.
            timeout: How many seconds may pass until a response begins.
        """
        self.app = app
        self.max_body = max_body
        self.timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body: bytes | None = None
        begun = False
        gone = asyncio.Event()
        watcher: asyncio.Task[None] | None = None

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()
            if not begun:
                deadline.reschedule(0)  # It cancels the handler, as time does.

        async def receiving() -> Message:
            nonlocal body
            if body is None:
                await gone.wait()
                return {"type": "http.disconnect"}
            message = {"type": "http.request", "body": body, "more_body": False}
            body = None
            return message

        async def sending(message: Message) -> None:
            nonlocal begun
            if not begun and not deadline.expired():
                deadline.reschedule(None)
            begun = True
            await send(message)

        try:
            async with asyncio.timeout(self.timeout) as deadline:
                if _only_asks(scope):
                    # It holds nothing that a client who leaves would hold up.
                    await self.app(scope, receive, sending)
                    return
                body = await self._read(scope, receive)
                watcher = asyncio.create_task(watch())
                await self.app(scope, receiving, sending)
        except _TooLarge:
            text = f"a request may have {self.max_body} bytes"
            response = problems.answer(413, text, {"Connection": "close"})
            await response(scope, receive, send)
        except _Gone:
            pass
        except TimeoutError:
            if not deadline.expired():
                raise
            if not gone.is_set() and not begun:
                status, text = 503, "it took too long"
                if watcher is None and not _only_asks(scope):
                    status, text = 408, "the request did not arrive in time"
                response = problems.answer(status, text, {"Connection": "close"})
                await response(scope, receive, send)
        finally:
            if watcher is not None:
                watcher.cancel()

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        """Read the body before it is handled: until then nothing else is held."""
        if int(Headers(scope=scope).get("content-length", 0)) > self.max_body:
            raise _TooLarge
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            body += message.get("body", b"")
            if len(body) > self.max_body:
                raise _TooLarge
            if not message.get("more_body", False):
                return bytes(body)


class _TooLarge(Exception):
    """The body is larger than it may be."""


class _Gone(Exception):
    """The client went away before it had sent all."""


def _only_asks(scope: Scope) -> bool:
    """Tell whether a request has no body and changes nothing."""
    if scope["method"] not in ("GET", "HEAD"):
        return False
    framing = (b"content-length", b"transfer-encoding")
    return not any(name in framing for name, _ in scope["headers"])


def _request_id(scope: Scope) -> str:
    """Return the id that a proxy has given, if it looks like one, or else a new one."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if re.fullmatch(r"[\w.-]{1,64}", given, re.ASCII) else uuid4().hex
