"""The benchmarks run and say what they measured; what they say of so little data means nothing."""

import sys

import pytest

from tests.support.processes import Processes

ROWS = {
    "evaluation": ["evaluate"],
    "counting": ["count: exported within 14d", "count: any event within 14d", "count: never created a project"],
    "propagation": [f"{kind} at one edge → fetch at another, p99" for kind in ("track", "identify")],
}


@pytest.mark.parametrize("part", ROWS)
def test_a_part_of_the_bench_of_audiences_runs(processes: Processes, part: str) -> None:
    command = (sys.executable, "-m", "bench.audiences")
    ran = processes.start("--size", "tiny", "--only", part, name=part, command=command)
    assert ran.wait(timeout=120) == 0, ran.output
    for row in ROWS[part]:
        assert row in ran.output
