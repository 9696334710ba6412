"""When Python looks for cyclic garbage in an edge, which keeps a million small objects and makes hardly any garbage.

A full collection looks at all of them while nothing is served: 170 ms with 40,000 customers in memory. Python starts
one each time that there are a quarter more than at the last, so all through a warm-up and through swaps. Hot routes and
closed connections leave no cycles behind, and those of other routes are found while they are young: thus once an hour
is enough for everything.

What is young has to be looked at by the clock. Python counts what is made less what is freed, and where each answer
that is kept takes the place of another, that stays near nothing while the young become tens of thousands: whoever asked
when it did start waited 20 ms.
"""

import asyncio
import gc

_YOUNG = 700
_MIDDLE = 2
_NEVER = 1_000_000_000
_YOUNG_EVERY_S = 0.025
_FULL_EVERY_S = 3600.0


def collect_rarely() -> None:
    """Only what is young is still looked at, twice, and few at a time. What was imported by now is never looked at
    again.

    To be called before the work begins, with `collecting` as part of it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _NEVER)


async def collecting() -> None:
    """What is young, many times a second, and everything, now and then, for as long as it runs."""
    looks = 0
    while True:
        await asyncio.sleep(_YOUNG_EVERY_S)
        looks += 1
        if looks * _YOUNG_EVERY_S >= _FULL_EVERY_S:
            looks = 0
            gc.collect()
        else:
            gc.collect(1 if looks % (_MIDDLE + 1) == 0 else 0)
