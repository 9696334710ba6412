"""Pure ASGI middleware, outermost first: RequestId, AccessLog, Failsafe, BodyLimit."""

import re
import time
import uuid
from collections.abc import Callable, Mapping

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import count_request

log = structlog.get_logger("http")

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})


class RequestId:
    """Takes a sane X-Request-Id or makes one, binds it to the logs as `request_id` and echoes it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request_id = accepted_request_id(Headers(scope=scope).get("x-request-id"))

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self.app(scope, receive, send_with_id)


def accepted_request_id(offered: str | None) -> str:
    """The client's id when it is 1–64 of `A-Za-z0-9._-`, else a new one."""
    return offered if offered and _SANE_REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex


class AccessLog:
    """One `request` line and one metric per request; probes are logged at debug. `status` is null when the client left."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        status: int | None = None
        started_s = time.perf_counter()

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_noting_status)
        finally:
            _note(scope, status, time.perf_counter() - started_s)


def _note(scope: Scope, status: int | None, seconds: float) -> None:
    write = log.debug if scope["path"] in _PROBES else log.info
    write("request", method=scope["method"], path=scope["path"], status=status, duration_ms=round(seconds * 1000, 2))
    if status is not None:
        count_request(scope["method"], route_template(scope), status, seconds)


def route_template(scope: Scope) -> str:
    """The matched route with its parameters as `{name}`, `unmatched` without one; few distinct values whatever comes.

    Rebuilt from the path, because a route of an included router does not know its prefix.
    """
    route = scope.get("route")
    if not isinstance(route, Route):
        return f"{route.path}/*" if isinstance(route, Mount) else "unmatched"
    names = {str(value): name for name, value in scope.get("path_params", {}).items()}
    segments = scope["path"].split("/")
    if not names.keys() <= set(segments):
        return route.path
    return "/".join(f"{{{names[segment]}}}" if segment in names else segment for segment in segments)


class Failsafe:
    """An exception nobody handled: logged with its traceback, answered by `answer()` unless an answer has begun."""

    def __init__(self, app: ASGIApp, answer: Callable[[], Response]) -> None:
        self.app = app
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        answering = False

        async def send_noting_start(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            await self.app(scope, receive, send_noting_start)
        except Exception:
            log.exception("request_failed", method=scope["method"], path=scope["path"])
            if not answering:
                await self.answer()(scope, receive, send)


class BodyLimit:
    """Reads the whole body before the app runs; more than the limit is answered by `refuse(limit_bytes)`.

    After a refusal the server discards what still comes, so the client reads the answer and may reuse the connection;
    only a client that waits for 100-continue, and so will not send the body, has it closed.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_body_bytes: int,
        body_limits: Mapping[str, int],
        refuse: Callable[[int], Response],
    ) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.body_limits = body_limits
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        limit_bytes = self._limit_bytes(scope["path"])
        headers = Headers(scope=scope)
        try:
            body = await _read_body(headers, receive, limit_bytes)
        except _ClientGoneError:
            return None
        except _TooLargeError:
            return await self._refusal(headers, limit_bytes)(scope, receive, send)
        return await self.app(scope, _replay(body, receive), send)

    def _limit_bytes(self, path: str) -> int:
        limits = (limit for suffix, limit in self.body_limits.items() if path.endswith(suffix))
        return next(limits, self.max_body_bytes)

    def _refusal(self, headers: Headers, limit_bytes: int) -> Response:
        response = self.refuse(limit_bytes)
        if "expect" in headers:
            response.headers["Connection"] = "close"
        return response


class _TooLargeError(Exception):
    pass


class _ClientGoneError(Exception):
    pass


async def _read_body(headers: Headers, receive: Receive, limit_bytes: int) -> bytes:
    if _declared_bytes(headers) > limit_bytes:
        raise _TooLargeError
    chunks: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGoneError
        chunks.append(message.get("body", b""))
        size_bytes += len(chunks[-1])
        if size_bytes > limit_bytes:
            raise _TooLargeError
        if not message.get("more_body", False):
            return b"".join(chunks)


def _declared_bytes(headers: Headers) -> int:
    declared = headers.get("content-length", "0")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body as one message, then whatever `receive` says (a disconnect)."""
    read = False

    async def receive_again() -> Message:
        nonlocal read
        if read:
            return await receive()
        read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
