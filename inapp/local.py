"""Everything on one machine: Postgres and Redis (embedded unless their URLs are given) and the four processes."""

import fcntl
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, NoReturn, Self

from inapp.children import Child, end_left_over
from inapp.console import err, step
from inapp.embedded import EmbeddedPostgres, EmbeddedRedis, EmbeddedServer
from inapp.embedded.ports import free_port, is_free
from store import migrate

HOST = "127.0.0.1"
PROCESSES = ("admin", "compiler", "recorder", "edge")
"""In the order in which they start. The edge stops first, so that the recorder still takes what it flushes."""

READY_FILE = "ready.json"
_READY_TIMEOUT_S = 60.0
_WATCH_INTERVAL_S = 0.2


class LocalError(RuntimeError):
    """Why the machine cannot run it, and what to do."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """URLs that any client can use."""

    admin: str
    edge: str
    database_url: str
    redis_url: str

    def as_json(self) -> str:
        return json.dumps(
            {"admin": self.admin, "edge": self.edge, "databaseUrl": self.database_url, "redisUrl": self.redis_url}
        )


@dataclass(slots=True)
class Local:
    """A context manager: everything is ready inside it and stopped, last started first, after it."""

    data_dir: Path
    admin_port: int
    edge_port: int
    addresses: Addresses = field(init=False)
    children: list[Child] = field(default_factory=list)
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
        """Brings back each process that ends by itself; only an exception, such as Ctrl-C, ends it."""
        while True:
            time.sleep(_WATCH_INTERVAL_S)
            for child in self.children:
                code = child.restart_if_dead()
                if code is not None:
                    err.print(f"[yellow]![/] {child.name} ended with code {code}; starting it again ({child.log_file})")

    def _start(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._exit.enter_context(_only_one(self.data_dir))
        logs = self.data_dir / "logs"
        logs.mkdir(exist_ok=True)
        for name in PROCESSES:
            end_left_over(logs, name)
        admin_port, edge_port = (_usable(port, name) for port, name in self._ports())
        with step("Postgres and Redis"):
            database_url, redis_url = self._servers()
        with step("Database schema"):
            migrate.upgrade(database_url)
        self.addresses = Addresses(f"http://{HOST}:{admin_port}", f"http://{HOST}:{edge_port}", database_url, redis_url)
        with step("Admin, compiler, recorder and edge"):
            self._processes(dict(zip(PROCESSES, (admin_port, free_port(), free_port(), edge_port), strict=True)), logs)
        self._write_ready(self.data_dir / READY_FILE)

    def _stop(self) -> None:
        """A second Ctrl-C changes nothing: stopping in order takes a moment."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        self._exit.close()

    def _ports(self) -> tuple[tuple[int, str], tuple[int, str]]:
        return (self.admin_port, "--admin-port"), (self.edge_port, "--edge-port")

    def _servers(self) -> tuple[str, str]:
        """Both at once; whichever URL the environment gives is used as it is."""
        with ThreadPoolExecutor(2) as pool:
            postgres = pool.submit(self._server, "DATABASE_URL", EmbeddedPostgres(self.data_dir / "postgres"))
            redis = pool.submit(self._server, "REDIS_URL", EmbeddedRedis(self.data_dir / "redis"))
        return postgres.result(), redis.result()

    def _server(self, variable: str, embedded: EmbeddedServer) -> str:
        given = os.environ.get(variable)
        if given:
            return given
        url = embedded.start()
        self._exit.callback(embedded.stop)
        return url

    def _processes(self, ports: dict[str, int], logs: Path) -> None:
        for name, port in ports.items():
            child = Child(name, f"http://{HOST}:{port}", self._environment(name, port), logs)
            child.start()
            self._exit.callback(child.stop)
            self.children.append(child)
        deadline = time.monotonic() + _READY_TIMEOUT_S
        for child in self.children:
            child.wait_ready(deadline)

    def _environment(self, name: str, port: int) -> dict[str, str]:
        return {
            "DATABASE_URL": self.addresses.database_url,
            "REDIS_URL": self.addresses.redis_url,
            "INAPP_HOST": HOST,
            "INAPP_PORT": str(port),
            "INAPP_DATA_DIR": str(self.data_dir / name),
        }

    def _write_ready(self, path: Path) -> None:
        self.write_ready(path)
        self._exit.callback(path.unlink, missing_ok=True)

    def write_ready(self, path: Path) -> None:
        """At once or not at all, and only for our eyes: the database URL has a password."""
        part = path.with_name(path.name + ".part")
        part.touch(mode=0o600)
        part.write_text(self.addresses.as_json())
        part.replace(path)


def running_addresses(data_dir: Path) -> dict[str, str]:
    """The ready file's fields of what runs on this data folder now; empty when nothing does."""
    try:
        return dict(json.loads((data_dir / READY_FILE).read_text()))
    except (OSError, ValueError):
        return {}


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
