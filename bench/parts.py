"""The parts of the bench, by the names that the command line knows. A part is loaded when it is asked for."""

from importlib import import_module
from typing import Final

from bench import tools
from bench.rows import Row
from bench.stage import Stage

ON_THE_STAGE: Final = {
    "fetch": "bench.fetching",
    "cold": "bench.cold",
    "growth": "bench.growth",
    "swaps": "bench.swaps",
    "events": "bench.eventing",
}
"""These need wrk."""

_BY_THEMSELVES: Final = {
    "evaluation": "bench.evaluation",
    "preparing": "bench.preparing",
    "compiling": "bench.compiling",
    "publishing": "bench.publishing",
    "recording": "bench.recording",
    "memory": "bench.memory",
    "startup": "bench.startup",
    "counting": "bench.counting",
    "propagation": "bench.propagation",
}
PARTS: Final = (*ON_THE_STAGE, *_BY_THEMSELVES)
APART: Final = {"counting": "makes 20 million events first, which takes an hour"}
"""Parts that a full run leaves out unless they are named, and why."""


def measure(part: str, stage: Stage) -> list[Row]:
    """Raises MissingToolError."""
    if part in ON_THE_STAGE:
        tools.path_of("wrk")
        found: list[Row] = import_module(ON_THE_STAGE[part]).measure(stage)
    else:
        found = import_module(_BY_THEMSELVES[part]).measure(stage.size)
    return found
