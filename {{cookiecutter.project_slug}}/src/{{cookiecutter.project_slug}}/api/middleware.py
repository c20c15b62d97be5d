"""ASGI middleware: request log, security headers, body limit and timeout."""

import asyncio
import logging
import re
import time
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import problem_response
from .logs import RequestContext, request_context

logger = logging.getLogger(__name__)

SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""Default headers of every response; a handler may override each of them."""


class RequestLogMiddleware:
    """Assign a request id, log the request, and respond 500 to unhandled exceptions."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        context = RequestContext(_request_id(scope))
        token = request_context.set(context)
        started = time.perf_counter()
        status: int | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                present = {name for name, _ in headers}
                headers += [each for each in SECURITY_HEADERS if each[0] not in present]
                headers.append((b"x-request-id", context.id.encode()))
                message["headers"] = headers
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception:
            logger.exception("unhandled exception")
            if status is None:
                await problem_response(500)(scope, receive, send_with_headers)
        finally:
            is_probe = scope["path"].startswith("/health/")
            logger.log(
                logging.DEBUG if is_probe else logging.INFO,
                "request",
                extra={
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "ms": round((time.perf_counter() - started) * 1000, 1),
                    "statements": context.statements,
                },
            )
            request_context.reset(token)


class RequestLimitsMiddleware:
    """Limit body size and duration, and cancel the handler if the client disconnects."""

    def __init__(self, app: ASGIApp, max_body: int, timeout: float) -> None:
        """Wrap an application.

        Args:
            app: The application.
            max_body: Maximum size of a request body in bytes.
            timeout: Maximum seconds until the response starts.
        """
        self.app = app
        self.max_body = max_body
        self.timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body: bytes | None = None
        response_started = False
        disconnected = asyncio.Event()
        watcher: asyncio.Task[None] | None = None

        async def watch_disconnect() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            disconnected.set()
            if not response_started:
                deadline.reschedule(0)  # Cancels the handler, as the timeout does.

        async def receive_body() -> Message:
            nonlocal body
            if body is None:
                await disconnected.wait()
                return {"type": "http.disconnect"}
            message = {"type": "http.request", "body": body, "more_body": False}
            body = None
            return message

        async def send_in_time(message: Message) -> None:
            nonlocal response_started
            if not response_started and not deadline.expired():
                deadline.reschedule(None)
            response_started = True
            await send(message)

        deadline = asyncio.timeout(self.timeout)
        try:
            async with deadline:
                if _is_plain_read(scope):
                    # Holds no write lock, so a disconnect need not cancel it.
                    await self.app(scope, receive, send_in_time)
                    return
                body = await self._read_body(scope, receive)
                watcher = asyncio.create_task(watch_disconnect())
                await self.app(scope, receive_body, send_in_time)
        except _BodyTooLarge:
            detail = f"The request body exceeds {self.max_body} bytes."
            response = problem_response(413, detail, {"Connection": "close"})
            await response(scope, receive, send)
        except _ClientDisconnected:
            pass
        except TimeoutError:
            if not deadline.expired():
                raise
            if not disconnected.is_set() and not response_started:
                status, detail = 503, "The request timed out."
                if watcher is None and not _is_plain_read(scope):
                    status, detail = 408, "The request body did not arrive in time."
                response = problem_response(status, detail, {"Connection": "close"})
                await response(scope, receive, send)
        finally:
            if watcher is not None:
                watcher.cancel()

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes:
        """Read the whole body first, so a slow client holds no transaction."""
        if int(Headers(scope=scope).get("content-length", 0)) > self.max_body:
            raise _BodyTooLarge
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _ClientDisconnected
            body += message.get("body", b"")
            if len(body) > self.max_body:
                raise _BodyTooLarge
            if not message.get("more_body", False):
                return bytes(body)


class _BodyTooLarge(Exception):
    """The request body exceeds the limit."""


class _ClientDisconnected(Exception):
    """The client disconnected before the end of the body."""


def _is_plain_read(scope: Scope) -> bool:
    """Return whether a request is GET or HEAD without a body."""
    if scope["method"] not in ("GET", "HEAD"):
        return False
    framing = (b"content-length", b"transfer-encoding")
    return not any(name in framing for name, _ in scope["headers"])


def _request_id(scope: Scope) -> str:
    """Return the `X-Request-ID` set by a proxy if it is well-formed, else a new id."""
    header = Headers(scope=scope).get("x-request-id", "")
    return header if re.fullmatch(r"[\w.-]{1,64}", header, re.ASCII) else uuid4().hex
