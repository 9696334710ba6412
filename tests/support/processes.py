"""Our own processes, started as a user starts them."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from tests.support.polling import eventually

_STOP_SECONDS = 20.0
_PRINTED_LINES = 100
_COMMAND = (sys.executable, "-m", "inapp")


class Process:
    """A running process and the file with all that it printed."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.popen = popen
        self.log = log

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_ready(self, url: str, timeout: float = 30.0) -> None:
        """Wait until `url`/readyz answers 200. Fails at once when the process ends."""
        eventually(lambda: self._still_runs() and _is_ready(url), timeout)

    def wait(self, timeout: float = _STOP_SECONDS) -> int:
        """The exit code of a process that ends by itself."""
        return self.popen.wait(timeout)

    def stop(self) -> int:
        """SIGTERM, then SIGKILL to it and its children when it takes too long; returns the exit code."""
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                return self.popen.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.popen.returncode

    def kill(self) -> None:
        """SIGKILL to the process and its children, as when the machine's memory runs out."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def _still_runs(self) -> bool:
        code = self.popen.poll()
        if code is not None:
            raise ProcessEndedError(f"{self.name} ended with {code}:\n{self.last_lines()}")
        return True

    def last_lines(self) -> str:
        return "\n".join(self.output.splitlines()[-_PRINTED_LINES:])


class ProcessEndedError(Exception):
    """A process ended that should have gone on."""


class Processes:
    """Starts processes with an environment that has none of our variables but those given; stops them in reverse."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Process] = []

    def start(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        name: str | None = None,
        command: Sequence[str] = _COMMAND,
    ) -> Process:
        """`python -m inapp *arguments`, in an empty working directory. `command` replaces `python -m inapp`."""
        name = name or arguments[0]
        log = self._folder / f"{len(self._started)}-{name}.log"
        with log.open("wb") as out:
            popen = subprocess.Popen(
                [*command, *arguments],
                cwd=self._folder,
                env=_clean_environment() | dict(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = Process(name, popen, log)
        self._started.append(process)
        return process

    def close(self) -> None:
        """Stop everything and write out the ends of the logs."""
        for process in reversed(self._started):
            process.stop()
        self.show_logs()

    def show_logs(self) -> None:
        """Write out the ends of the logs, which pytest shows when the test failed."""
        for process in self._started:
            code = process.popen.poll()
            ended = "running" if code is None else f"exit code {code}"
            sys.stdout.write(f"--- {process.name}, {ended}, {process.log}\n{process.last_lines()}\n")


def _clean_environment() -> dict[str, str]:
    ours = ("DATABASE_URL", "REDIS_URL")
    kept = {key: value for key, value in os.environ.items() if key not in ours and not key.startswith("INAPP_")}
    return kept | {"PYTHONUNBUFFERED": "1"}


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
