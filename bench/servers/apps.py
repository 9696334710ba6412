"""What Python servers do with the least and with the usual: `python -m bench.servers.apps NAME FILE PORT`."""

import sys
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bench.servers.started import BARE
from inapp.embedded.ports import HOST


class FetchBody(BaseModel):
    """The fields of a fetch, as somebody would write them down for FastAPI."""

    userId: str | None = None
    anonymousId: str | None = None
    identityToken: str | None = None
    traits: dict[str, Any] = {}
    url: str | None = None
    screen: str | None = None
    event: dict[str, Any] | None = None
    resolve: bool = False
    etag: str | None = None


def bare_protocol(answer: bytes) -> type[HttpToolsProtocol]:
    """Looks at nothing, and sends the one answer that it has: what the kernel and the event loop take by themselves.

    No server in Python can be faster that runs on this loop. Each request has to arrive in one piece.
    """
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    response = head % len(answer) + answer

    class Bare(HttpToolsProtocol):
        def data_received(self, data: bytes) -> None:
            self.transport.write(response)

    return Bare


def raw_asgi(answer: bytes) -> ASGIApp:
    """Reads the body and answers, without a framework."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


def plain_fastapi(answer: bytes) -> ASGIApp:
    """A model in, a dict out."""
    app, found = FastAPI(), orjson.loads(answer)

    @app.post("/{path:path}")
    async def fetch(body: FetchBody) -> dict[str, Any]:
        return {**found, "user": body.userId}

    return app


APPS = {BARE: raw_asgi, "raw ASGI": raw_asgi, "FastAPI": plain_fastapi}
"""uvicorn wants an app also where the protocol never asks it."""


def main(name: str, file: str, port: str) -> None:
    answer = Path(file).read_bytes()
    uvicorn.run(
        APPS[name](answer), host=HOST, port=int(port), loop="uvloop",
        http=bare_protocol(answer) if name == BARE else "httptools", lifespan="off", access_log=False,
        log_level="warning",
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
