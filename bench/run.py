"""One run of the bench: its parts one after the other, and what became of each."""

import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from rich.markup import escape

from bench.figures import results
from bench.figures.machine import machine
from bench.figures.results import Results
from bench.figures.rows import Row
from bench.servers import tools
from bench.servers.progress import say
from bench.servers.stage import ROUNDS, Size, Stage
from inapp.console import err
from service.clock import wall_now_ms
from wire import times

OVER_HTTP: Final = ("fetch", "cold", "growth", "swaps", "events")
"""These need wrk."""

PARTS: Final = (
    *OVER_HTTP, "evaluation", "preparing", "compiling", "publishing", "recording", "memory", "startup", "counting",
    "propagation",
)  # fmt: skip
"""Modules of `bench.parts`. Each is loaded when it is asked for."""

APART: Final = {"counting": "makes 20 million events first, which takes an hour"}
"""Parts that a full run leaves out unless they are named, and why."""


def run(parts: Sequence[str] = (), size: Size = "full", rounds: int | None = None, *, profile: bool = False) -> Results:
    """Everything, when no parts are named, but at full size those that take too long.

    What needs a tool that is missing is left out. A part that fails does not keep the others from running.
    """
    began_ms, began_s = wall_now_ms(), time.monotonic()
    on, left_out = machine(), tools.missing()
    rows: list[Row] = []
    failed: list[str] = []
    if not parts and size == "full":
        left_out += [f"{part}: {why}; ask for it by name" for part, why in APART.items()]
    for reason in left_out:
        err.print(f"[yellow]![/] {escape(reason)}")
    with tempfile.TemporaryDirectory(prefix="inapp-bench-") as folder:
        Path(folder).chmod(0o711)
        with Stage(size, rounds or ROUNDS[size], profile, Path(folder), results.FOLDER) as stage:
            for part in parts or _everything(size):
                say(part)
                try:
                    rows += _measure(part, stage)
                except tools.MissingToolError as error:
                    left_out.append(f"{part}: {error}")
                except Exception as error:
                    traceback.print_exc()
                    failed.append(f"{part}: {type(error).__name__}: {error}")
            pinning = stage.cores.note
    took_s = round(time.monotonic() - began_s)
    return Results(times.to_iso(began_ms), took_s, size, on | {"pinning": pinning}, rows, left_out, failed)


def _everything(size: Size) -> Sequence[str]:
    return [part for part in PARTS if size == "tiny" or part not in APART]


def _measure(part: str, stage: Stage) -> list[Row]:
    """Raises MissingToolError."""
    if part in OVER_HTTP:
        tools.path_of("wrk")
    found: list[Row] = import_module(f"bench.parts.{part}").measure(stage)
    return found
