"""Pure ASGI middleware for request bodies, outermost first: BodyLimit, StrictJson."""

from collections.abc import Callable, Mapping

import orjson
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


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
            await self.app(scope, receive, send)
            return
        limit_bytes = self._limit_bytes(scope["path"])
        headers = Headers(scope=scope)
        try:
            body = await _read_body(headers, receive, limit_bytes)
        except _ClientGoneError:
            return
        except _TooLargeError:
            await self._refusal(headers, limit_bytes)(scope, receive, send)
            return
        await self.app(scope, _replay(body, receive), send)

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


class StrictJson:
    """A JSON body that is not RFC 8259 (NaN, lone surrogates, not UTF-8, over 1,024 levels) is answered by `refuse()`.

    Python's own parser, which FastAPI uses, lets those through. Stands inside BodyLimit, so the body is one message.
    """

    def __init__(self, app: ASGIApp, refuse: Callable[[], Response]) -> None:
        self.app = app
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "json" not in Headers(scope=scope).get("content-type", "").lower():
            await self.app(scope, receive, send)
            return
        body = (await receive()).get("body", b"")
        answer = self.app if not body or _is_json(body) else self.refuse()
        await answer(scope, _replay(body, receive), send)


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True
