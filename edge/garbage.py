"""When Python looks for cyclic garbage in an edge, which keeps a million small objects and makes hardly any garbage.

A full collection looks at all of them while nothing is served: 170 ms with 40,000 customers in memory. Python starts
one each time that there are a quarter more than at the last, so all through a warm-up and through swaps. Requests and
closed connections leave no cycles behind, thus once an hour is enough.
"""

import asyncio
import gc

_YOUNG = 700
_MIDDLE = 2
_NEVER = 1_000_000_000
_FULL_EVERY_S = 3600.0


def collect_rarely() -> None:
    """Only what is young is still looked at by itself, twice, and few at a time: as often as Python does it by itself,
    a pause took 1 to 5 ms, several times a second. What was imported by now is never looked at again.

    To be called before the work begins, with `collecting` as part of it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _NEVER)


async def collecting() -> None:
    """Everything, now and then, for as long as it runs."""
    while True:
        await asyncio.sleep(_FULL_EVERY_S)
        gc.collect()
