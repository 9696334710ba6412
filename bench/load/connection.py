"""A keep-alive client that costs so little that it does not measure itself."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from bench.world.http import post
from wire import codec


class Connection:
    """One connection to the server at a URL; one request at a time. An async context manager."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    async def post(self, path: str, key: str, fields: Mapping[str, Any]) -> bytes:
        """The body of the answer. Raises RuntimeError unless it is a 200."""
        return await self.send(post(path, key, codec.to_json(fields)))

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
