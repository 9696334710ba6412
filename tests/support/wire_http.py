"""A server inside the test's own process, and requests to it byte by byte."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI

HOST = "127.0.0.1"
_PATIENCE_S = 10.0


@dataclass
class Server:
    port: int
    uvicorn: uvicorn.Server

    @asynccontextmanager
    async def connection(self, **options: Any) -> AsyncIterator["Connection"]:
        """`options`: of `asyncio.open_connection`."""
        reader, writer = await asyncio.open_connection(HOST, self.port, **options)
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()

    async def exchange(self, request: bytes) -> bytes:
        """The one response to one request on a connection of its own."""
        async with self.connection() as connection:
            connection.send(request)
            return await connection.response()


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def response(self) -> bytes:
        """Head and body. Raises IncompleteReadError when the server hangs up, TimeoutError after seconds."""
        async with asyncio.timeout(_PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            return head + await self.reader.readexactly(_length(head))

    async def end(self) -> bytes:
        """What still comes before the server hangs up. Raises TimeoutError when it does not."""
        async with asyncio.timeout(_PATIENCE_S):
            return await self.reader.read()


def request(method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    fields = {"Host": "edge", **({"Content-Length": str(len(body))} if body else {}), **(headers or {})}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@asynccontextmanager
async def serving(app: FastAPI, **options: Any) -> AsyncIterator[Server]:
    """`options`: of `uvicorn.Config`."""
    with socket.create_server((HOST, 0)) as listener:
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, lifespan="on", interface="asgi3", **options
        )
        server = _Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:
                await asyncio.sleep(0.01)
                if running.done():
                    running.result()
            yield Server(listener.getsockname()[1], server)
        finally:
            server.should_exit = True
            await running


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the tests."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _length(head: bytes) -> int:
    found = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(found[0].split(b":")[1]) if found else 0
