"""HTTP/1.1 as benchmarks speak it: whole requests as bytes, and a keep-alive client that costs so little that it does
not measure itself."""

import asyncio
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

FETCH: Final = "/api/v1/in-app-messages/fetch"
TRACK: Final = "/api/v1/events"
TRACK_BATCH: Final = "/api/v1/events/batch"


def post(path: str, key: str, body: bytes) -> bytes:
    """A whole request, as an SDK sends it."""
    return _head("POST", path, key, f"Content-Length: {len(body)}\r\n") + body


def get(path: str, key: str) -> bytes:
    """The same without a body, for servers that ignore what they are asked."""
    return _head("GET", path, key)


def _head(method: str, path: str, key: str, more: str = "") -> bytes:
    fixed = "Host: edge.example.com\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
    return f"{method} {path} HTTP/1.1\r\n{fixed}X-API-Key: {key}\r\n{more}\r\n".encode()


class Connection:
    """One connection to one server; one request at a time. An async context manager."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    async def post(self, path: str, body: Mapping[str, Any]) -> bytes:
        """The body of the answer. Raises RuntimeError unless it is a 200."""
        content = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: edge\r\nContent-Type: text/plain\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return await self.send(head.encode() + content)

    async def send(self, request: bytes) -> bytes:
        """The body of the answer to a whole request. Raises RuntimeError unless it is a 200."""
        if self._reader is None or self._writer is None:
            raise RuntimeError("not connected")
        self._writer.write(request)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        received = await self._reader.readexactly(length)
        if not answer.startswith(b"HTTP/1.1 200"):
            path, status = request.split(b" ", 2)[1].decode(), answer.split(b" ", 2)[1].decode()
            raise RuntimeError(f"{path}: {status} {received.decode(errors='replace')}")
        return received
