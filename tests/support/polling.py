"""Wait for what comes about by itself, with a deadline."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")

_INTERVAL_SECONDS = 0.02


class NotYet(AssertionError):
    """The condition was not met in time."""


def eventually(check: Callable[[], T], timeout: float = 10.0) -> T:
    """Call `check` until it returns something true and raises no AssertionError; returns what it returned."""
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        try:
            if result := check():
                return result
        except AssertionError:
            if late:
                raise
        if late:
            raise NotYet(f"not true after {timeout} seconds: {check!r} gave {result!r}")
        time.sleep(_INTERVAL_SECONDS)


async def eventually_async(check: Callable[[], Awaitable[T]], timeout: float = 10.0) -> T:
    """`eventually` for a coroutine function, on a running event loop."""
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        try:
            if result := await check():
                return result
        except AssertionError:
            if late:
                raise
        if late:
            raise NotYet(f"not true after {timeout} seconds: {check!r} gave {result!r}")
        await anyio.sleep(_INTERVAL_SECONDS)
