"""The bench runs, every part of it, and what is promised has a row. What it says of so little data means nothing."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pkgutil import iter_modules

import pytest

from bench import parts
from bench.figures.budgets import read_budgets
from bench.figures.results import Results, read_results
from bench.run import OVER_HTTP, PARTS
from bench.servers.tools import missing
from tests.support.processes import Processes

PATIENCE_S = 300

ROWS = {
    "fetch": [
        *(
            f"fetch hot{how} × {baseline}"
            for how in ("", ", resolve")
            for baseline in ("nginx", "bare protocol", "raw ASGI", "FastAPI")
        ),
        *(f"fetch hot{how} at half of saturation, p50" for how in ("", ", resolve")),
    ],
    "cold": ["fetch cold × nginx", "fetch cold, resolve × nginx"],
    "growth": ["W10k × W10, hot"],
    "swaps": ["fetch while bundles are swapped, p99.9 × steady", "fetch while bundles are swapped, p99.9"],
    "events": ["events/batch of 20", "mix of 90 % fetches and 10 % events × nginx"],
    "evaluation": ["evaluation, first time", "evaluation, cached"],
    "preparing": [f"prepare: {what}" for what in ("first time", "one message edited", "one number in a rule edited")],
    "compiling": ["compile W", "compile W10k after one edit"],
    "publishing": ["publish → visible at an edge, p50"],
    "recording": ["recorder into Postgres", "recorder, an event"],
    "memory": ["edge memory, nobody cached"],
    "startup": ["start of an edge"],
    "counting": ["count: exported within 14d", "count: any event within 14d", "count: never created a project"],
    "propagation": [f"{kind} at one edge → fetch at another, p99" for kind in ("track", "identify")],
}
"""Of each part those without a budget; what has one is looked for in any case."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    """One run of everything, as small as it can be."""
    folder = tmp_path_factory.mktemp("bench")
    with closing(Processes(folder)) as processes:
        command = (sys.executable, "-m", "bench")
        bench = processes.start("--size", "tiny", "--json", str(folder / "found.json"), name="bench", command=command)
        bench.wait(PATIENCE_S)
        yield read_results(folder / "found.json")


@pytest.fixture
def tools() -> None:
    """wrk and nginx. Without one of them the test skips, or fails when INAPP_REQUIRE=all."""
    for reason in missing():
        if os.environ.get("INAPP_REQUIRE") == "all":
            pytest.fail(reason)
        pytest.skip(reason)


def test_every_module_of_a_part_is_one_that_the_command_line_knows() -> None:
    assert {module.name for module in iter_modules(parts.__path__)} == set(PARTS)


@pytest.mark.parametrize("part", [part for part in PARTS if part not in OVER_HTTP])
def test_a_part_runs(ran: Results, part: str) -> None:
    assert_measured(ran, part)


@pytest.mark.parametrize("part", OVER_HTTP)
@pytest.mark.usefixtures("tools")
def test_a_part_over_http_runs(ran: Results, part: str) -> None:
    assert_measured(ran, part)


@pytest.mark.usefixtures("tools")
def test_every_budget_is_that_of_a_row(ran: Results) -> None:
    assert read_budgets().keys() <= {row.name for row in ran.rows}


@pytest.mark.usefixtures("tools")
def test_no_row_is_there_twice(ran: Results) -> None:
    names = [row.name for row in ran.rows]
    assert len(names) == len(set(names))


def assert_measured(ran: Results, part: str) -> None:
    assert not [reason for reason in ran.failed if reason.startswith(f"{part}:")]
    found = {row.name: row for row in ran.rows}
    for name in ROWS[part]:
        assert found[name].value > 0
