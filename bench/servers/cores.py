"""Which processor core does what: one serves, another asks, so that neither takes time from the other."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_UNPINNED = "nothing is pinned to a core here, so servers and generators get in each other's way"


@dataclass(frozen=True, slots=True)
class Cores:
    """Numbers of cores; None where nothing can be pinned. `note`: what a reader of the figures should know of it."""

    server: int | None = None
    generator: int | None = None
    note: str = _UNPINNED


def choose_cores() -> Cores:
    """Two that do not share a physical core, where there are such."""
    allowed = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
    if len(allowed) < 2:
        return Cores()
    generator = allowed[0]
    server = next((core for core in allowed[1:] if core not in _siblings(generator)), allowed[1])
    shared = ", two threads of one physical core" if server in _siblings(generator) else ""
    return Cores(server, generator, f"server on core {server}, generator and Redis on core {generator}{shared}")


def _siblings(core: int) -> set[int]:
    """Cores that are threads of the same physical one, itself included."""
    listed = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    try:
        return set(_core_list(listed.read_text()))
    except OSError:
        return {core}


def _core_list(text: str) -> Iterator[int]:
    """`0,4-6` → 0, 4, 5, 6."""
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


@contextmanager
def on(core: int | None) -> Iterator[None]:
    """This thread, and every process that it starts inside the block, runs there only."""
    if core is None or sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_s(pid: int) -> float | None:
    """Seconds of processor time that a process has taken with all its threads; None where nobody tells."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    user, system = fields[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
