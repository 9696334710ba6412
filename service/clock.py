"""The wall clock, which whoever needs the time is given as a function."""

import time
from collections.abc import Callable

NowMs = Callable[[], int]
"""Now, in ms since the epoch."""


def wall_now_ms() -> int:
    return time.time_ns() // 1_000_000
