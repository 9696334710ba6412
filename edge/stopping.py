"""Ending a task that runs for ever."""

import asyncio


def stop_if_cancelled() -> None:
    """Raises CancelledError when the running task has been cancelled but was not told.

    Before Python 3.12 `asyncio.wait_for`, by which redis-py writes, can swallow a cancellation. A loop that awaits
    Redis and then rests would rest for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
