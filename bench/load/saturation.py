"""What a server can do at most: wrk keeps asking over a few dozen connections, on a core of its own."""

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from bench.servers.cores import Cores, cpu_s, on
from bench.servers.started import Server
from bench.servers.tools import path_of
from inapp.embedded.ports import HOST

CONNECTIONS = 64

_SCRIPT = Path(__file__).with_name("wrk.lua")
_FULL = 0.95
_FOUND = re.compile(r"^bench ((?:\w+=\d+ ?)+)$", re.MULTILINE)


Limit = Literal["server", "generator", "neither", "unknown"]


class SaturationError(Exception):
    """wrk could not run, or not every answer was a good one."""


class Replay(NamedTuple):
    """Requests in a file, as the script of wrk reads them. `numbered`: each is sent with its OWN_NUMBER, see
    `bench.world.sent_events`."""

    file: Path
    numbered: bool = False


class Saturation(NamedTuple):
    """`cpu_us`: processor time of the server for one request. `busy`: share of its core that the server had; both are
    None where nobody tells. `generator_busy`: the same of wrk."""

    requests_per_s: float
    cpu_us: float | None
    busy: float | None
    generator_busy: float

    @property
    def limit(self) -> Limit:
        """What kept it from being more."""
        if self.busy is None:
            return "unknown"
        if self.busy >= _FULL:
            return "server"
        return "generator" if self.generator_busy >= _FULL else "neither"


Saturations = Mapping[str, Saturation]
"""What each contestant did in one round, by its name."""


def write_replay(file: Path, requests: Sequence[bytes], *, numbered: bool = False) -> Replay:
    file.write_bytes(b"\0".join(requests))
    return Replay(file, numbered)


def saturate(server: Server, replay: Replay, seconds: float, cores: Cores) -> Saturation:
    """Raises SaturationError, MissingToolError."""
    command = _command(server.port, replay, seconds)
    with on(cores.generator):
        wrk = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603
    before_s, began_s = cpu_s(server.pid), time.perf_counter()
    with wrk:
        output = wrk.stdout.read() if wrk.stdout else ""
        took_s, after_s = time.perf_counter() - began_s, cpu_s(server.pid)
        _, status, used = os.wait4(wrk.pid, 0)
        wrk.returncode = os.waitstatus_to_exitcode(status)
    requests, ran_s = read_output(output)
    spent_s = None if before_s is None or after_s is None else after_s - before_s
    return Saturation(
        requests / ran_s,
        None if spent_s is None else spent_s / requests * 1e6,
        None if spent_s is None else spent_s / took_s,
        (used.ru_utime + used.ru_stime) / took_s,
    )


def read_output(output: str) -> tuple[int, float]:
    """(requests, seconds) out of what wrk printed. Raises SaturationError when anything at all went wrong."""
    found = _FOUND.search(output)
    if found is None:
        raise SaturationError(f"wrk ended without a result:\n{output}")
    counts = {name: int(number) for name, number in (part.split("=") for part in found[1].split())}
    requests, took_us = counts.pop("requests"), counts.pop("us")
    failed = {name: number for name, number in counts.items() if number}
    if failed or "Non-2xx or 3xx" in output or not requests:
        raise SaturationError(f"{requests} requests, among them failed: {failed}\n{output}")
    return requests, took_us / 1e6


def _command(port: int, replay: Replay, seconds: float) -> list[str]:
    flags = [
        "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{max(round(seconds), 1)}s",
        "--timeout", "10s", "--script", str(_SCRIPT),
    ]  # fmt: skip
    script = ["--", str(replay.file), *([_first_number()] if replay.numbered else [])]
    return [path_of("wrk"), *flags, f"http://{HOST}:{port}/", *script]


def _first_number() -> str:
    """A million more each second: past what an earlier run of wrk came to."""
    return str(time.time_ns() // 1_000 % 2**31)
