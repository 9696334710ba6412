"""Processes that do something beside a measurement, on the generator's core, and give way to the generator."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, cast

from bench.servers.cores import on
from service.supervise import cancel

_NICE = 10
_STOP_S = 60.0
_READY = "ready\n"

Counts = dict[str, int]


def give_way(pid: int) -> None:
    """To whatever else runs on its core."""
    os.setpriority(os.PRIO_PROCESS, pid, _NICE)


@contextmanager
def beside(module: str, *arguments: str, core: int | None) -> Iterator[Counts]:
    """`python -m <module> <arguments>`, at work inside the block; what it counted is in the dict after the block.

    Its other half is `until_told`. Raises RuntimeError when the process does not do as that does.
    """
    counts: Counts = {}
    command = [sys.executable, "-m", module, *arguments]
    with on(core):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        give_way(process.pid)
        if process.stdout is None or process.stdout.readline() != _READY:
            raise RuntimeError(f"{module} did not start")
        yield counts
        counts |= _counts(module, process)
    finally:
        process.kill()
        process.wait()


def _counts(module: str, process: "subprocess.Popen[str]") -> Counts:
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=_STOP_S)
    if process.returncode != 0:
        raise RuntimeError(f"{module} ended with {process.returncode}")
    return cast(Counts, json.loads(output))


def until_told(work: Callable[[Counts], Coroutine[Any, Any, None]]) -> None:
    """Runs `work`, which goes on for ever and counts what it does, until SIGTERM."""
    counts: Counts = {}
    asyncio.run(_until_told(work(counts)))
    sys.stdout.write(json.dumps(counts) + "\n")


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    sys.stdout.write(_READY)
    sys.stdout.flush()
    waiting, working = asyncio.ensure_future(told.wait()), asyncio.ensure_future(work)
    await asyncio.wait((waiting, working), return_when=asyncio.FIRST_COMPLETED)
    if working.done():
        await working
    await cancel(working, _STOP_S)
    if working.done() and not working.cancelled():
        working.exception()
