"""Pure ASGI middleware around a request, outermost first: RequestId, AccessLog, Failsafe."""

import re
import time
import uuid
from collections.abc import Callable

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
            await self.app(scope, receive, send)
            return
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
    """One `request` line and one metric per request. `status` is null when the client left.

    Probes are logged at debug; with `quiet` everything is, but for answers of 500 and more.
    """

    def __init__(self, app: ASGIApp, *, quiet: bool = False) -> None:
        self.app = app
        self.quiet = quiet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
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
            _note(scope, status, time.perf_counter() - started_s, quiet=self.quiet and (status or 0) < 500)


def _note(scope: Scope, status: int | None, seconds: float, *, quiet: bool) -> None:
    write = log.debug if quiet or scope["path"] in _PROBES else log.info
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
            await self.app(scope, receive, send)
            return
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
