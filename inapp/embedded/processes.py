"""Processes that are not our children: what they run, and how to end them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def wait_until(check: Callable[[], bool], timeout: float, interval: float = 0.02) -> bool:
    """Ask `check` until it says yes; False when it has not after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() >= deadline:
            return False
        pause(interval)
    return True


def read_pid(file: Path) -> int | None:
    """The process id on a file's first line."""
    try:
        first = file.read_text().split("\n", 1)[0].strip()
    except FileNotFoundError:
        return None
    return int(first) if first.isdecimal() else None


def command_line(pid: int) -> str:
    """The arguments of a process, each followed by a space; empty when it has ended, reaped or not."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    listed = subprocess.run(  # noqa: S603
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{listed.stdout.strip()} " if listed.returncode == 0 else ""


def end(pid: int, how: signal.Signals, timeout: float) -> None:
    """Signal a process, wait for its end, and kill it when it has not ended after `timeout` seconds."""
    started_as = command_line(pid)

    def ended() -> bool:
        return command_line(pid) != started_as

    for number, patience in ((how, timeout), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        if wait_until(ended, patience):
            return
