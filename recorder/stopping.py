"""Ending between two pieces of work, not inside one."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

_GRACE_S = 8.0
"""A little less than the supervisor waits for a task."""


async def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Awaits `work`. When cancelled, however often, lets it come to its end first (up to 8 s) and then stops."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _ended(task)
        task.cancel()
        raise


async def _ended(task: asyncio.Future[Any]) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _GRACE_S
    while not task.done() and loop.time() < deadline:
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=deadline - loop.time())
