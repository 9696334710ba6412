"""Everything on one machine: Postgres and Redis (embedded unless their URLs are given) and the four processes."""

import fcntl
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, NoReturn, Self

from rich.markup import escape

from inapp import ready
from inapp.children import Child, end_left_over
from inapp.console import err, step
from inapp.database import reaching_database
from inapp.embedded import EmbeddedPostgres, EmbeddedRedis, EmbeddedServer
from inapp.embedded.ports import free_port, is_free
from inapp.ready import Addresses
from store import migrate

HOST = "127.0.0.1"
PROCESSES = ("admin", "compiler", "recorder", "edge")
"""In the order in which they start. The edge stops first, so that the recorder still takes what it flushes."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_READY_TIMEOUT_S = 60.0
_WATCH_INTERVAL_S = 0.2


class LocalError(RuntimeError):
    """Why the machine cannot run it, and what to do."""


@dataclass(slots=True)
class Local:
    """A context manager: everything is ready inside it and stopped, last started first, after it.

    A port of 0 is any free one. `page_port` is kept for the caller, who may serve a page there.
    """

    data_dir: Path
    admin_port: int
    edge_port: int
    page_port: int = 0
    addresses: Addresses = field(init=False)
    children: list[Child] = field(default_factory=list)
    servers: list[EmbeddedServer] = field(default_factory=list)
    _exit: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with step("Stopping in order, buffers first"):
            self._stop()

    def watch(self) -> NoReturn:
        """Brings back whatever ends by itself, until Ctrl-C. Raises EmbeddedServerError for a server that cannot."""
        while True:
            time.sleep(_WATCH_INTERVAL_S)
            for child in self.children:
                _say_ended(child.name, child.restart_if_dead(), child.log_file)
            for server in self.servers:
                _say_ended(server.name, server.revive(), server.log)

    def _start(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._exit.enter_context(_only_one(self.data_dir))
        logs = self.data_dir / "logs"
        logs.mkdir(exist_ok=True)
        for name in PROCESSES:
            end_left_over(logs, name)
        admin_port, edge_port = _usable(self.admin_port, "--admin-port"), _usable(self.edge_port, "--edge-port")
        self.page_port = _usable(self.page_port, "--host-port")
        if len({admin_port, edge_port, self.page_port}) < 3:
            raise LocalError("Give --admin-port, --edge-port and --host-port different ports.")
        with step("Postgres and Redis"):
            database_url, redis_url = self._servers()
        with step("Database schema"), reaching_database():
            migrate.upgrade(database_url)
        self.addresses = Addresses(f"http://{HOST}:{admin_port}", f"http://{HOST}:{edge_port}", database_url, redis_url)
        with step("Admin, compiler, recorder and edge"):
            self._processes(dict(zip(PROCESSES, (admin_port, free_port(), free_port(), edge_port), strict=True)), logs)
        ready_file = self.data_dir / ready.FILE_NAME
        ready.write_ready(ready_file, self.addresses.as_fields())
        self._exit.callback(ready_file.unlink, missing_ok=True)

    def _stop(self) -> None:
        _ignore_signals()
        self._exit.close()

    def _servers(self) -> tuple[str, str]:
        """Both at once; whichever URL the environment gives is used as it is."""
        postgres = EmbeddedPostgres(self.data_dir / "postgres")
        redis = EmbeddedRedis(self.data_dir / "redis")
        pool = ThreadPoolExecutor(2)
        try:
            urls = [pool.submit(self._server, server) for server in (postgres, redis)]
            return urls[0].result(), urls[1].result()
        except BaseException:
            _ignore_signals()
            raise
        finally:
            pool.shutdown(wait=True)  # what is being started must be there to be stopped

    def _server(self, embedded: EmbeddedServer) -> str:
        given = os.environ.get(embedded.variable)
        if given:
            return given
        self._exit.callback(embedded.stop)
        url = embedded.start()
        self.servers.append(embedded)
        return url

    def _processes(self, ports: dict[str, int], logs: Path) -> None:
        for name, port in ports.items():
            child = Child(name, f"http://{HOST}:{port}", self._environment(name, port), logs)
            self._exit.callback(child.stop)
            child.start()
            self.children.append(child)
        deadline = time.monotonic() + _READY_TIMEOUT_S
        for child in self.children:
            child.wait_ready(deadline)

    def _environment(self, name: str, port: int) -> dict[str, str]:
        environment = {
            "DATABASE_URL": self.addresses.database_url,
            "REDIS_URL": self.addresses.redis_url,
            "INAPP_HOST": HOST,
            "INAPP_PORT": str(port),
        }
        return environment | ({"INAPP_EDGE_DIR": str(self.data_dir / name)} if name == "edge" else {})


def remove(data_dir: Path) -> None:
    """Removes all that was ever kept for this data folder. Raises LocalError while something runs on it."""
    if not data_dir.exists():
        return
    with _only_one(data_dir):
        for name in PROCESSES:
            end_left_over(data_dir / "logs", name)
        EmbeddedPostgres(data_dir / "postgres").remove()
        EmbeddedRedis(data_dir / "redis").remove()
        shutil.rmtree(data_dir)


def _ignore_signals() -> None:
    """A second Ctrl-C changes nothing: stopping in order takes a moment."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _say_ended(name: str, code: int | None, log: Path) -> None:
    if code is not None:
        err.print(f"[yellow]![/] {name} ended with code {code} and is started again ({escape(str(log))})")


def _usable(port: int, option: str) -> int:
    if port == 0:
        return free_port()
    if not is_free(port):
        raise LocalError(f"Port {port} is in use. Choose another one with {option}, or {option} 0 for any free one.")
    return port


def _only_one(data_dir: Path) -> IO[str]:
    """Holds the folder's lock for as long as the file is open."""
    lock = (data_dir / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise LocalError(f"Something already runs on {data_dir}. Stop it, or choose another --data-dir.") from None
    return lock
