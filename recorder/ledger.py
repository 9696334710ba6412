"""Transactions that end: conflicts are tried again, and what Postgres refuses is found and set aside."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from recorder import metrics
from recorder.failures import RefusedError, is_conflict, refusal
from recorder.record import Recorded, in_order, record
from recorder.rows import rejected
from recorder.rows.customers import AliasesMovedError
from recorder.rows.rejected import Lost
from service.clock import NowMs, wall_now_ms
from wire.events import Event

log = structlog.get_logger("ledger")

T = TypeVar("T")

_LONGEST_PAUSE_S = 0.05
_DROPPED_LINE_EVERY_S = 60.0
"""Whoever makes customers' traits overflow must not make the log overflow as well."""


class Ledger:
    """What the recorder does in Postgres. Errors of the connection come out; what failed may be asked for again."""

    def __init__(self, postgres: AsyncEngine, now_ms: NowMs = wall_now_ms) -> None:
        self._postgres = postgres
        self.now_ms = now_ms
        self._next_dropped_line_s = 0.0

    async def transact(self, kind: str, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Commits what `work` does, starting over while others get in the way. Raises RefusedError."""
        while True:
            try:
                with metrics.TRANSACTION_SECONDS.labels(kind).time():
                    async with self._postgres.begin() as connection:
                        return await work(connection)
            except AliasesMovedError:
                metrics.RETRIES.labels("aliases_moved").inc()
            except DBAPIError as error:
                if refused := refusal(error):
                    raise refused from None
                if not is_conflict(error):
                    raise
                metrics.RETRIES.labels("conflict").inc()
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_S))  # noqa: S311

    async def record(self, events: Sequence[Event]) -> Recorded:
        """Stores events. Those that Postgres refuses are declared lost, one by one; all others are stored."""
        if not events:
            return Recorded()
        try:
            recorded = await self.transact("events", lambda connection: record(connection, events, self.now_ms()))
        except RefusedError as refused:
            return await self._record_in_parts(events, refused.reason)
        self.count(recorded)
        return recorded

    async def declare_lost(self, lost: Sequence[Lost]) -> None:
        if not lost:
            return
        counts = await self.transact("lost", lambda connection: rejected.add(connection, lost, self.now_ms()))
        for item in lost:
            count = counts.get(item.id, 0)
            metrics.LOST.labels(item.reason).inc(count)
            log.error("events_declared_lost", reason=item.reason, count=count, org_id=item.org_id, id=item.id)

    def count(self, recorded: Recorded) -> None:
        """Into the metrics, once it is committed."""
        metrics.STORED.inc(recorded.stored)
        metrics.DUPLICATES.inc(recorded.duplicates)
        metrics.IMPRESSIONS.inc(recorded.impressions)
        metrics.CLAIMS.inc(recorded.claims)
        metrics.LOST.labels(rejected.ERASED).inc(recorded.erased)
        metrics.TRAITS_DROPPED.inc(recorded.traits_dropped.total())
        if recorded.traits_dropped and time.monotonic() >= self._next_dropped_line_s:
            self._next_dropped_line_s = time.monotonic() + _DROPPED_LINE_EVERY_S
            [(org_id, count)] = recorded.traits_dropped.most_common(1)
            log.warning("traits_dropped", org_id=org_id, count=count)

    async def _record_in_parts(self, events: Sequence[Event], reason: str) -> Recorded:
        if len(events) == 1:
            await self.declare_lost([rejected.refused(events[0], reason)])
            return Recorded()
        ordered = in_order(events)
        middle = len(ordered) // 2
        recorded = await self.record(ordered[:middle])
        recorded.add(await self.record(ordered[middle:]))
        return recorded
