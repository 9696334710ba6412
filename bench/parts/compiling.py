"""How long the compiler needs to turn an org into bundles and to check them, all of it and after an edit."""

import pickle
from time import process_time_ns
from typing import Final, NamedTuple

from bench.figures.rows import Row
from bench.servers.stage import Stage
from bench.world.workload import Workload, edited, workload
from compiler.check import Checked, check
from compiler.compile import NO_PARTS, Parts, compile_org

_EDITS: Final = 4
"""In a round, for each compile of everything."""


class _Compiled(NamedTuple):
    took_ms: float
    parts: Parts
    checked: Checked | None


_NOTHING: Final = _Compiled(0.0, NO_PARTS, None)


def measure(stage: Stage) -> list[Row]:
    """Half a minute at `full`."""
    (few, many), rounds = ((1_000, 10_000), 5) if stage.size == "full" else ((20, 40), 1)
    return [*_rows("compile W", workload(few), rounds), *_rows("compile W10k", workload(many), rounds)]


def _rows(name: str, org: Workload, rounds: int) -> list[Row]:
    note = f"{len(org.snapshot.messages):,} messages, {len(org.rules)} audiences, and check them"
    whole = [_compile(org, _NOTHING) for _ in range(rounds)]
    last, edits_ms = whole[-1], []
    for number in range(rounds * _EDITS):
        org = edited(org, number)
        last = _compile(org, last)
        edits_ms.append(last.took_ms)
    return [
        Row(name, tuple(each.took_ms for each in whole), "ms of CPU", note),
        Row(f"{name} after one edit", tuple(edits_ms), "ms of CPU", note),
    ]


def _compile(org: Workload, before: _Compiled) -> _Compiled:
    """As the compiler's process does. Rows are not the objects that they were: they have been read anew."""
    snapshot = pickle.loads(pickle.dumps(org.snapshot))  # noqa: S301 - our own bytes
    began_ns = process_time_ns()
    compiled = compile_org(snapshot, org.now_ms, before.parts)
    checked = check(compiled, before.checked)
    return _Compiled((process_time_ns() - began_ns) / 1e6, compiled.parts, checked)
