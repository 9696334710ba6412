"""Runs one ASGI app as a process: uvicorn on uvloop, signals, exit codes."""

import asyncio
import contextlib
import errno
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI

from service.logs import one_line
from service.metrics import LISTENING
from service.supervise import TaskDiedError

log = structlog.get_logger("serve")

_GRACE_S = 10
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class ListenError(Exception):
    """The address cannot be listened on; the message names it."""


def serve(
    app: FastAPI,
    *,
    host: str,
    port: int,
    name: str,
    protocol: type[asyncio.Protocol] | None = None,
    on_listening: Callable[[], None] | None = None,
) -> NoReturn:
    """Serves until SIGTERM or SIGINT, then exits the process: 0 when asked to stop, 1 when it could not start or a
    supervised task died. `protocol`: a subclass of uvicorn's HttpToolsProtocol. `on_listening`: this is one of several
    processes on the port, and is called once it takes requests. Call `configure_logs` first."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_server(app, host=host, port=port, name=name, protocol=protocol, on_listening=on_listening))
    except ListenError as error:
        log.error("cannot_listen", name=name, reason=str(error))
        sys.exit(1)
    except TaskDiedError as error:
        log.error("stopped_by_task_death", name=name, reason=one_line(error))
        sys.exit(1)
    except Exception as error:
        log.error("stopped_by_error", name=name, reason=one_line(error), exc_info=error)
        sys.exit(1)
    log.info("stopped", name=name)
    sys.exit(0)


async def run_server(
    app: FastAPI,
    *,
    host: str,
    port: int,
    name: str,
    protocol: type[asyncio.Protocol] | None = None,
    on_listening: Callable[[], None] | None = None,
) -> None:
    """`serve` inside a running loop of the main thread. The app's lifespan runs around the server, and whatever it
    raises comes out of here. SIGTERM and SIGINT end it: while starting by cancelling the lifespan, later by letting
    requests in flight finish (up to 10 s). Raises ListenError."""
    server = _Server(_config(app, protocol), name, on_listening or _nothing)
    listener = listening_socket(host, port, shared=on_listening is not None)
    with contextlib.closing(listener), _stop_signals(server):
        async with app.router.lifespan_context(app) as state:
            await server.serve_app(listener, state)


def _nothing() -> None: ...


def listening_socket(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A bound TCP socket; connections are refused until a server listens on it. Raises ListenError.

    `shared`: others of this user may bind it too, if they say so as well, and the system spreads connections over those
    that listen. Whoever does not share is told that it is in use.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        reason = "already in use" if error.errno == errno.EADDRINUSE else error.strerror
        raise ListenError(f"cannot listen on {host}:{port}: {reason}") from None
    return listener


class _Server(uvicorn.Server):
    """uvicorn's server without its own lifespan and signal handling, both of which surround it here."""

    def __init__(self, config: uvicorn.Config, name: str, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self.name = name
        self._on_listening = on_listening
        self.starting = True
        self._app_state: Mapping[str, Any] = {}

    async def serve_app(self, listener: socket.socket, state: Mapping[str, Any] | None) -> None:
        """`state`: what the app's lifespan yielded; requests see it as `request.state`."""
        self.starting = False
        self._app_state = state or {}
        await self.serve(sockets=[listener])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state.update(self._app_state)
        try:
            await super().startup(sockets)
        except OSError as error:
            raise ListenError(f"cannot listen: {error.strerror}") from None
        for listener in sockets or []:
            log.info("listening", name=self.name, url=_url(listener))
        LISTENING.set(1)
        self._on_listening()


def _config(app: FastAPI, protocol: type[asyncio.Protocol] | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocol or "httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )


@contextlib.contextmanager
def _stop_signals(server: _Server) -> Iterator[None]:
    """SIGTERM and SIGINT end the block quietly: cancelled while the app starts, through the server afterwards."""
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()

    def stop(received: signal.Signals) -> None:
        log.info("stopping", name=server.name, signal=received.name)
        if main and server.starting and not server.should_exit:
            main.cancel()
        server.handle_exit(received, None)

    for stop_signal in _STOP_SIGNALS:
        loop.add_signal_handler(stop_signal, stop, stop_signal)
    try:
        yield
    except asyncio.CancelledError:
        if not server.should_exit:
            raise
        if main:
            main.uncancel()
    finally:
        for stop_signal in _STOP_SIGNALS:
            loop.remove_signal_handler(stop_signal)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
