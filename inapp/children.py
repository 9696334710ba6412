"""Our own processes, run as children: started with their log in a file, watched, restarted, stopped in order."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from inapp.embedded.processes import command_line, end, read_pid

STOP_TIMEOUT_S = 20.0
_RESTART_WAIT_S = 1.0
_POLL_TIMEOUT_S = 2.0
_TAIL_LINES = 15


class ChildError(RuntimeError):
    """A process that did not become ready; the message has the end of its log."""


def end_left_over(folder: Path, name: str) -> None:
    """Ends the process that an earlier, killed run of ours left behind."""
    pid = read_pid(_pid_file(folder, name))
    if pid is not None and f"-m inapp {name} " in command_line(pid):
        end(pid, signal.SIGTERM, STOP_TIMEOUT_S)


def _pid_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.pid"


@dataclass(slots=True)
class Child:
    """One of `admin`, `compiler`, `recorder`, `edge`, configured by `env`; its log is `<folder>/<name>.log`."""

    name: str
    url: str
    env: Mapping[str, str]
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    restart_at: float = 0.0
    _log: IO[bytes] | None = field(default=None, repr=False)

    @property
    def log_file(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        return _pid_file(self.folder, self.name)

    def start(self) -> None:
        """A session of its own, so that Ctrl-C reaches only us and we stop the children in order."""
        self._log = self._log or self.log_file.open("ab")
        self.process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "inapp", self.name],
            env={**os.environ, **self.env},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self.pid_file.write_text(str(self.process.pid))

    def wait_ready(self, deadline: float) -> None:
        """Until `/readyz` says 200. Raises ChildError when the process ends or `deadline` (monotonic) passes."""
        while not self.is_ready():
            if self.process is None or self.process.poll() is not None:
                raise ChildError(
                    f"{self.name} ended while starting. Its log, {self.log_file}, ends with:\n{self.tail()}"
                )
            if time.monotonic() > deadline:
                raise ChildError(f"{self.name} is not ready. Its log, {self.log_file}, ends with:\n{self.tail()}")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=_POLL_TIMEOUT_S) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def restart_if_dead(self) -> int | None:
        """Restarts a process that ended by itself, a second later; returns its exit code when that is noticed."""
        if self.process is None:
            if time.monotonic() >= self.restart_at:
                self.start()
            return None
        code = self.process.poll()
        if code is not None:
            self.process = None
            self.restart_at = time.monotonic() + _RESTART_WAIT_S
        return code

    def stop(self) -> None:
        """SIGTERM, so that buffers are flushed; SIGKILL when that takes too long."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.pid_file.unlink(missing_ok=True)
        if self._log is not None:
            self._log.close()

    def tail(self) -> str:
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
