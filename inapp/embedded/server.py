"""The life of an embedded server: one owner of its data, a kept port, a start that is awaited, an end."""

import fcntl
import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, Self

from inapp.embedded.ports import candidates
from inapp.embedded.processes import command_line, end, pause, read_pid, wait_until

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_START_TRIES = 20
_PAUSE_SECONDS = 0.5
_LAST_LINES = 15
_WORTH_ANOTHER_TRY = (
    "Address already in use",
    "pre-existing shared memory block",  # backends of a killed server, on their way out
)


class EmbeddedServerError(RuntimeError):
    """An embedded server cannot run; the message says why and what to do."""


class DataDirInUseError(EmbeddedServerError):
    """Another live process uses the data."""


class EmbeddedServer(ABC):
    """One server on 127.0.0.1 with its data in `data_dir`, which is created when missing.

    `start` and `stop` block. A server left over from a killed process is stopped by the next start.
    `durable=False` is for tests: faster, and what a power cut leaves behind is worthless.
    """

    name: ClassVar[str]
    variable: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self.data_dir = data_dir.resolve()
        self.durable = durable
        self.log = self.data_dir / "server.log"
        self.port = 0
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where any client finds the started server."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what the server needs before it can be launched."""

    @abstractmethod
    def launch(self, port: int, log: IO[bytes]) -> subprocess.Popen[bytes]: ...

    @abstractmethod
    def is_ready(self, pid: int, port: int) -> bool:
        """Whether the process `pid`, and no other, serves clients on `port`."""

    @abstractmethod
    def pid_file(self) -> Path:
        """The file in which the server itself notes its process id."""

    @abstractmethod
    def is_ours(self, command: str) -> bool:
        """Whether a command line is one by which `launch` started a server on this data."""

    def folders(self) -> tuple[Path, ...]:
        """Where the server's data lies."""
        return (self.data_dir,)

    @property
    def pid(self) -> int:
        """The process id of the started server."""
        if self._process is None:
            raise EmbeddedServerError(f"{self.name} is not started")
        return self._process.pid

    def start(self) -> str:
        """Start the server, wait until it serves, and return its URL; with the port of the last start if that is free.

        Raises DataDirInUseError, or EmbeddedServerError with the last lines of the log.
        """
        self._lock = self._take_lock()
        try:
            if self.log.exists():
                self.log.replace(self.log.with_suffix(".previous.log"))
            self.prepare()
            self.stop_left_over()
            self._launch_on_a_free_port()
        except OSError as error:
            self.stop()
            raise self.failure(str(error)) from error
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """Shut the server down in order, or kill it when that takes too long. Without effect on a stopped server."""
        if self._process is not None:
            self._end_process(self._process)
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def revive(self) -> int | None:
        """Start a server that ended by itself once more; returns its exit code then, None while it runs.

        Raises EmbeddedServerError, also when its port was taken meanwhile: its clients know no other.
        """
        code = None if self._process is None else self._process.poll()
        if code is None:
            return None
        port = self.port
        self.stop()
        self.start()
        if self.port != port:
            raise self.failure(f"its port {port} was taken")
        return code

    def remove(self) -> None:
        """Stop the server, also one left over, and delete its data. Raises DataDirInUseError."""
        self.stop()
        with self._take_lock():
            self.stop_left_over()
            for folder in self.folders():
                shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def failure(self, reason: str) -> EmbeddedServerError:
        """The error to raise when the server does not come up."""
        lines = self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:] if self.log.exists() else []
        quoted = "".join(f"\n    {line}" for line in lines)
        return EmbeddedServerError(
            f"{self.name} did not start: {reason}. The last lines of {self.log}:{quoted}\n"
            f"Set {self.variable} to use a server of your own, name another data directory, "
            f"or remove {self.data_dir} to begin anew without its data."
        )

    def in_use(self, by: str) -> DataDirInUseError:
        return DataDirInUseError(
            f"The {self.name} data in {self.data_dir} is in use by {by}. "
            "Stop that first, or name another data directory."
        )

    def stop_left_over(self) -> None:
        """Stop the server that a killed process of ours left behind. We hold the lock, so nobody uses it."""
        pid = read_pid(self.pid_file())
        if pid is not None and self.is_ours(command_line(pid)):
            end(pid, self.stop_signal, _STOP_SECONDS)

    def _take_lock(self) -> IO[str]:
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            lock = (self.data_dir / "lock").open("a")
        except OSError as error:
            raise EmbeddedServerError(f"{self.name} cannot keep its data in {self.data_dir}: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise self.in_use("another running process") from None
        return lock

    def _launch_on_a_free_port(self) -> None:
        kept = self.data_dir / "port"
        for port in candidates(kept, _START_TRIES):
            if self._comes_up(port):
                self.port = port
                kept.write_text(f"{port}\n")
                return
            if not any(reason in self.log.read_text(errors="replace") for reason in _WORTH_ANOTHER_TRY):
                break
            pause(_PAUSE_SECONDS)
        raise self.failure("the server ended")

    def _comes_up(self, port: int) -> bool:
        with self.log.open("wb") as log:
            process = self._process = self.launch(port, log)
        if not wait_until(lambda: process.poll() is not None or self.is_ready(process.pid, port), _START_SECONDS):
            raise self.failure(f"it did not answer within {_START_SECONDS:.0f} seconds")
        return process.poll() is None

    def _end_process(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(self.stop_signal)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
