"""Long-running tasks: one that dies stops the process loudly."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import structlog
from prometheus_client import Gauge

from service.logs import one_line

log = structlog.get_logger("supervise")

TASKS_ALIVE = Gauge(
    "inapp_tasks_alive", "1 while the named task runs in every process", ["task"], multiprocess_mode="livemin"
)

Work = Callable[[], Awaitable[None]]

_CANCEL_AGAIN_S = 1.0
_FIRST_RETRY_S = 0.1
_LONGEST_RETRY_S = 5.0


class TaskDiedError(Exception):
    """A supervised task ended although nobody stopped it."""


def terminate_self() -> None:
    """Asks this process to shut down in its normal, graceful way."""
    os.kill(os.getpid(), signal.SIGTERM)


class Supervisor:
    """`async with Supervisor() as tasks: tasks.start("tail", tail)`.

    A task that raises (or returns) before the exit is logged as `task_died`, sets `failed` and calls `on_death`; the
    exit then raises TaskDiedError, so that the process ends with a non-zero code. The exit cancels the tasks, the
    newest first, and waits up to `stop_timeout_s` for each.
    """

    def __init__(self, *, on_death: Callable[[], None] = terminate_self, stop_timeout_s: float = 10.0) -> None:
        self.failed = asyncio.Event()
        self._on_death = on_death
        self._stop_timeout_s = stop_timeout_s
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._death: TaskDiedError | None = None
        self._stopping = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping = True
        for name, task in reversed(self._tasks.items()):
            await self._stop(name, task)
        if self._death and not isinstance(error, Exception):
            raise self._death

    def start(self, name: str, work: Work) -> None:
        """Runs `work()` until the exit; its end before that, however it comes, is a death."""
        if name in self._tasks:
            raise ValueError(f"a task named {name} already runs")
        task = asyncio.create_task(_run(work), name=name)
        self._tasks[name] = task
        TASKS_ALIVE.labels(name).set(1)
        task.add_done_callback(self._ended)

    def start_retrying(self, name: str, work: Work) -> None:
        """Like `start`, for work that may fail and begin again: logs `task_retry`, waits 0.1 s … 5 s, calls it anew."""
        self.start(name, lambda: _retrying(name, work))

    def alive(self) -> dict[str, bool]:
        """Task name → whether it runs."""
        return {name: not task.done() for name, task in self._tasks.items()}

    def _ended(self, task: asyncio.Task[None]) -> None:
        name = task.get_name()
        TASKS_ALIVE.labels(name).set(0)
        if self._stopping:
            return
        error = None if task.cancelled() else task.exception()
        reason = one_line(error) if error else "cancelled" if task.cancelled() else "returned"
        log.error("task_died", task=name, reason=reason, exc_info=error)
        if self._death is None:
            self._death = TaskDiedError(f"{name}: {reason}")
            self._death.__cause__ = error
        self.failed.set()
        self._on_death()

    async def _stop(self, name: str, task: asyncio.Task[None]) -> None:
        if task.done():
            return
        await cancel(task, self._stop_timeout_s)
        if not task.done():
            log.error("task_did_not_stop", task=name, seconds=self._stop_timeout_s)
        elif not task.cancelled() and (error := task.exception()):
            log.error("task_failed_stopping", task=name, reason=one_line(error), exc_info=error)


async def cancel(task: asyncio.Future[Any], timeout_s: float) -> None:
    """Cancels until it has ended or `timeout_s` are over: before Python 3.12 `asyncio.wait_for`, which redis-py uses,
    can swallow a cancellation, and a loop that was not told would go on. What it ended with is the caller's to ask."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not task.done() and loop.time() < deadline:
        task.cancel()
        await asyncio.wait([task], timeout=min(_CANCEL_AGAIN_S, deadline - loop.time()))


async def _run(work: Work) -> None:
    await work()


async def _retrying(name: str, work: Work) -> None:
    loop = asyncio.get_running_loop()
    wait_s = _FIRST_RETRY_S
    while True:
        started = loop.time()
        try:
            return await work()
        except Exception as error:
            if loop.time() - started > _LONGEST_RETRY_S:
                wait_s = _FIRST_RETRY_S
            log.warning("task_retry", task=name, reason=one_line(error), retry_in_seconds=wait_s)
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, _LONGEST_RETRY_S)
