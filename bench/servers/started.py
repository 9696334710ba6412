"""The servers that are measured: an edge as a user starts it, and what it is compared with."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from bench.servers.cores import on
from bench.servers.tools import path_of
from inapp.children import Child
from inapp.embedded.ports import HOST, free_port
from inapp.embedded.processes import wait_until

_READY_S: Final = 120.0
_STOP_S: Final = 10.0

ANSWER_PATH: Final = "/answer.json"

BARE: Final = "bare protocol"
PYTHON: Final = (BARE, "raw ASGI", "FastAPI")
"""The baselines of `bench.servers.apps`."""

_NGINX: Final = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type application/json;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    open_file_cache max=16 inactive=1h;
    open_file_cache_valid 1h;
    {temporary}
    server {{
        listen {host}:{port};
        root {folder};
    }}
}}
"""
_WITH_TEMPORARY_FILES: Final = {
    "client_body": None,
    "proxy": "http_proxy_module",
    "fastcgi": "http_fastcgi_module",
    "uwsgi": "http_uwsgi_module",
    "scgi": "http_scgi_module",
}
"""What keeps files where only root may write unless told otherwise → the module that some nginx are built without."""


class Server(NamedTuple):
    """`name` as in rows. `pid` of the one process that answers."""

    name: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


@contextmanager
def edge(folder: Path, redis_url: str, core: int | None, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """`python -m inapp edge`, ready. `settings`: of its environment, on top of where it is and what it needs."""
    folder.mkdir()
    child = edge_process(folder, redis_url, settings or {})
    with on(core):
        child.start()
    try:
        child.wait_ready(time.monotonic() + _READY_S)
        yield Server("edge", urlsplit(child.url).port or 0, child.process.pid if child.process else 0)
    finally:
        child.stop()


def edge_process(folder: Path, redis_url: str, settings: Mapping[str, str]) -> Child:
    """The same, not started yet: its log goes into `folder`, what it keeps into `folder / "data"`."""
    port = free_port()
    own = {"REDIS_URL": redis_url, "INAPP_PORT": str(port), "INAPP_EDGE_DIR": str(folder / "data")}
    return Child("edge", f"http://{HOST}:{port}", {**own, **settings}, folder)


@contextmanager
def nginx(folder: Path, answer: bytes, core: int | None) -> Iterator[Server]:
    """A static file, at ANSWER_PATH, by one worker. Raises MissingToolError."""
    program, port = path_of("nginx"), free_port()
    folder.mkdir()
    (folder / ANSWER_PATH.strip("/")).write_bytes(answer)
    built = subprocess.run([program, "-V"], capture_output=True, text=True, check=True).stderr  # noqa: S603
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, host=HOST, port=port, temporary=_temporary(folder, built)))
    command = [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
    with _started("nginx", command, port, core, folder) as server:
        yield server


def _temporary(folder: Path, built: str) -> str:
    names = [name for name, module in _WITH_TEMPORARY_FILES.items() if not re.search(f"--without-{module}( |$)", built)]
    return " ".join(f"{name}_temp_path {folder}/{name};" for name in names)


@contextmanager
def python_baseline(name: str, folder: Path, answer: bytes, core: int | None) -> Iterator[Server]:
    """One of PYTHON, which `bench.servers.apps` has: every POST gets the JSON of `answer`."""
    port = free_port()
    folder.mkdir()
    file = folder / "answer.json"
    file.write_bytes(answer)
    command = [sys.executable, "-m", "bench.servers.apps", name, str(file), str(port)]
    with _started(name, command, port, core, folder) as server:
        yield server


@contextmanager
def _started(name: str, command: Sequence[str], port: int, core: int | None, folder: Path) -> Iterator[Server]:
    with (folder / "log").open("wb") as log, on(core):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603
    try:
        if not wait_until(lambda: process.poll() is not None or _listens(port), _READY_S) or process.poll() is not None:
            raise RuntimeError(f"{name} did not start:\n{(folder / 'log').read_text(errors='replace')}")
        yield Server(name, port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
