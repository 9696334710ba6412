"""How long an edge needs to make published bundles ready to decide by, and how long others have to wait meanwhile."""

from time import thread_time_ns
from typing import NamedTuple

from bench.figures.rows import Row
from bench.servers.in_process import ORG_ID, garbage_as_in_an_edge
from bench.servers.stage import Stage
from bench.world.workload import edited, with_other_number, workload
from compiler.compile import Compiled
from edge.bundles import Org, building


class _Prepared(NamedTuple):
    held: Org
    whole_ms: float
    longest_us: float


def measure(stage: Stage) -> list[Row]:
    """A second at `full`."""
    messages, rounds = (1_000, 7) if stage.size == "full" else (50, 1)
    org = workload(messages)
    before = org.compiled()
    edits = {
        "one message edited": edited(org, 1).compiled(),
        "one number in a rule edited": with_other_number(org).compiled(),
    }
    with garbage_as_in_an_edge():
        found = [_round(before, edits) for _ in range(rounds)]
    note = f"{messages:,} messages, {len(before.bundles)} bundles; out of the bytes of those that differ"
    return [row for name in found[0] for row in _rows(f"prepare: {name}", [each[name] for each in found], note)]


def _round(before: Compiled, edits: dict[str, Compiled]) -> dict[str, _Prepared]:
    first = _prepared(before, None)
    return {"first time": first, **{name: _prepared(edit, first.held) for name, edit in edits.items()}}


def _prepared(compiled: Compiled, before: Org | None) -> _Prepared:
    known = before.bundles if before else {}
    fresh = {sha: data for sha, data in compiled.bundles.items() if sha not in known}
    steps, took_ns = building(ORG_ID, compiled.manifest, fresh, before), []
    while True:
        began_ns = thread_time_ns()
        try:
            next(steps)
        except StopIteration as stop:
            took_ns.append(thread_time_ns() - began_ns)
            return _Prepared(stop.value, sum(took_ns) / 1e6, max(took_ns) / 1e3)
        took_ns.append(thread_time_ns() - began_ns)


def _rows(name: str, found: list[_Prepared], note: str) -> list[Row]:
    return [
        Row(name, tuple(each.whole_ms for each in found), "ms of CPU", note),
        Row(f"{name}, longest step", tuple(each.longest_us for each in found), "µs of CPU"),
    ]
