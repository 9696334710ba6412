"""A keep-alive HTTP/1.1 client that costs so little that it does not measure itself."""

import asyncio
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self


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
        if self._reader is None or self._writer is None:
            raise RuntimeError("not connected")
        content = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: edge\r\nContent-Type: text/plain\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        self._writer.write(head.encode() + content)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        received = await self._reader.readexactly(length)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{path}: {answer.split(b' ', 2)[1].decode()} {received.decode(errors='replace')}")
        return received
