"""Wait for what comes about by itself, with a deadline."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")

_INTERVAL_SECONDS = 0.02


def eventually(check: Callable[[], T], timeout: float = 10.0) -> T:
    """Call `check` until it returns something true and raises no AssertionError; returns what it returned."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            if result := check():
                return result
            failure = _untrue(result, timeout)
        except AssertionError as error:
            failure = error
        if time.monotonic() >= deadline:
            raise failure
        time.sleep(_INTERVAL_SECONDS)


async def eventually_async(check: Callable[[], Awaitable[T]], timeout: float = 10.0) -> T:
    """`eventually` for a coroutine function, without blocking the event loop."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            if result := await check():
                return result
            failure = _untrue(result, timeout)
        except AssertionError as error:
            failure = error
        if time.monotonic() >= deadline:
            raise failure
        await anyio.sleep(_INTERVAL_SECONDS)


def _untrue(result: object, timeout: float) -> AssertionError:
    return AssertionError(f"still {result!r} after {timeout} seconds")
