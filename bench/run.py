"""One run of the bench: its parts one after the other, and what became of each."""

import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from bench import results, tools
from bench.machine import machine
from bench.parts import APART, PARTS, measure
from bench.progress import say
from bench.results import Results
from bench.rows import Row, Size
from bench.stage import ROUNDS, Stage
from inapp.console import err
from service.clock import wall_now_ms
from wire import times


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
                    rows += measure(part, stage)
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
