"""The clock: a tick every second and the next boundary of each org. A job that comes late or never does no harm."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self
from uuid import UUID

from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler

TICK_S = 1

_HORIZON = timedelta(days=1)
"""Boundaries further away are looked at again then: a date may lie beyond what a timer or a datetime can hold."""


class Schedule:
    """An async context manager; the callbacks are called on the event loop while it is open."""

    def __init__(self, on_tick: Callable[[], None], on_boundary: Callable[[UUID], None]) -> None:
        self._on_tick = on_tick
        self._on_boundary = on_boundary
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )

    async def __aenter__(self) -> Self:
        self._scheduler.add_job(self._tick, "interval", seconds=TICK_S, next_run_time=datetime.now(UTC))
        self._scheduler.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._scheduler.shutdown(wait=False)

    def expect(self, org_id: UUID, boundary_ms: int | None) -> None:
        """The org's next boundary, instead of the one expected so far; None: there is none."""
        horizon = datetime.now(UTC) + _HORIZON
        if boundary_ms is not None and boundary_ms / 1000 < horizon.timestamp():
            moment = datetime.fromtimestamp(boundary_ms / 1000, UTC)
            self._scheduler.add_job(
                self._boundary, "date", run_date=moment, args=[org_id], id=str(org_id), replace_existing=True
            )
            return
        try:
            self._scheduler.remove_job(str(org_id))
        except JobLookupError:
            return

    async def _tick(self) -> None:
        self._on_tick()

    async def _boundary(self, org_id: UUID) -> None:
        self._on_boundary(org_id)
