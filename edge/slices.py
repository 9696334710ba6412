"""Long work on the event loop, so that requests get their turn in between."""

import asyncio
from time import perf_counter
from typing import Final, TypeVar

from engine.steps import Steps

T = TypeVar("T")

SLICE_S: Final = 150e-6


async def in_slices(steps: Steps[T]) -> T:
    """The result of the steps, with a turn for everybody else whenever a slice is over. Raises what they raise."""
    while True:
        ends_s = perf_counter() + SLICE_S
        try:
            while perf_counter() < ends_s:
                next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
        await asyncio.sleep(0)
