"""How long an edge needs to make published bundles ready to decide by, and how long others have to wait meanwhile."""

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import thread_time_ns
from typing import Final, NamedTuple

from bench.rows import Row, Size
from bench.workload import Workload, edited, workload
from compiler.compile import Compiled
from edge.bundles import Held, building
from edge.garbage import collect_rarely

_A_NUMBER: Final = re.compile(r'("trait":"[^"]+","op":"(?:gt|gte|lt|lte)","value":)\d+')


class _Prepared(NamedTuple):
    held: Held
    whole_ms: float
    longest_us: float


def measure(size: Size) -> list[Row]:
    """A second at `full`."""
    messages, rounds = (1_000, 7) if size == "full" else (50, 1)
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


@contextmanager
def garbage_as_in_an_edge() -> Iterator[None]:
    """Python looks for it as rarely as there, and not among what the bench made before."""
    before = gc.get_threshold()
    collect_rarely()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def with_other_number(before: Workload) -> Workload:
    """As after an edit of one number in the rule of one audience."""
    audiences = list(before.snapshot.audiences)
    place = next(place for place, each in enumerate(audiences) if _A_NUMBER.search(each.rule or ""))
    rule = _A_NUMBER.sub(r"\g<1>12345", audiences[place].rule or "", count=1)
    audiences[place] = replace(audiences[place], rule=rule)
    version = before.snapshot.version._replace(revision=before.snapshot.version.revision + 1)
    return replace(before, snapshot=replace(before.snapshot, version=version, audiences=tuple(audiences)))


def held(compiled: Compiled, before: Held | None = None) -> Held:
    """What an edge holds of an org then."""
    return _prepared(compiled, before).held


def _round(before: Compiled, edits: dict[str, Compiled]) -> dict[str, _Prepared]:
    first = _prepared(before, None)
    return {"first time": first, **{name: _prepared(edit, first.held) for name, edit in edits.items()}}


def _prepared(compiled: Compiled, before: Held | None) -> _Prepared:
    known = before.bundles if before else {}
    fresh = {sha: data for sha, data in compiled.bundles.items() if sha not in known}
    steps, took_ns = building(compiled.manifest, fresh, before), []
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
