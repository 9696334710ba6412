"""Keeping features what audiences ask for: adopting them, gathering their past, removing them."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from uuid import UUID

import structlog
from redis.exceptions import RedisError
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from recorder import metrics
from recorder.failures import is_faulty
from recorder.features import adopt, gather
from recorder.features.gather import Chunk, Pass
from recorder.ledger import Ledger
from recorder.states.project import Projector
from recorder.stopping import run_to_end
from service.logs import one_line
from store.connect import OUTBOX_CHANNEL, listening
from store.features import progress_of
from store.tables import event_features

log = structlog.get_logger("features")

POLL_S = 1.0
"""The longest time until a changed audience is seen, should its notification get lost."""

CUSTOMERS_AT_ONCE = 500
"""In one chunk, at most."""

_FEWEST_CUSTOMERS = 25
"""Of still smaller chunks most of the time would go into planning and committing, and a large org would never end."""

_LONG_CHUNK_S = 0.1
"""Customers of a chunk are locked for so long, or chunks get smaller."""

_MARKS = text(
    """
    SELECT orgs.id AS org_id, bundle_revision, waiting.last_id
    FROM orgs
    LEFT JOIN (SELECT org_id, max(id) AS last_id FROM outbox GROUP BY org_id) AS waiting ON waiting.org_id = orgs.id
    """
)
"""Every change of an audience adds an outbox row, which stays until a compiler has raised `bundle_revision`."""

_UNFINISHED = text("SELECT DISTINCT org_id FROM event_features WHERE ready < kept OR kept = 0")

_c = event_features.c
_PERCENT = func.coalesce(_c.done * 100 / func.nullif(_c.total, 0), 0)
_PROGRESS = select(func.count(), func.coalesce(func.avg(_PERCENT), 0)).where(_c.ready < _c.kept)


class Mark(NamedTuple):
    """As long as it is the same, so are the org's audiences, and what is published of them."""

    revision: int
    outbox_id: int | None


class Features:
    def __init__(self, postgres: AsyncEngine, database_url: str, ledger: Ledger, projector: Projector) -> None:
        self._postgres = postgres
        self._database_url = database_url
        self._ledger = ledger
        self._projector = projector
        self._marks: dict[UUID, Mark] = {}
        self._unfinished: set[UUID] = set()
        self._faulty: set[UUID] = set()
        self._chunk_size = CUSTOMERS_AT_ONCE
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled, and then to the end of what has begun. Errors of Postgres come out."""
        self._marks.clear()
        async with listening(self._database_url, OUTBOX_CHANNEL, lambda _payload: self._wake.set()) as connection:
            while not connection.is_closed():
                self._wake.clear()
                until_s = time.monotonic() + POLL_S
                await run_to_end(self.look())
                await self._work(until_s)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(until_s - time.monotonic()):
                        await self._wake.wait()
        raise ConnectionError("the connection that listens to the outbox is closed")

    async def look(self) -> None:
        """Adopts what changed audiences ask for, and finds out where there is something to do."""
        async with self._postgres.connect() as connection:
            marks = {row.org_id: Mark(row.bundle_revision, row.last_id) for row in await connection.execute(_MARKS)}
        for org_id, mark in marks.items():
            if self._marks.get(org_id) != mark:
                self._faulty.discard(org_id)
                await self._for_one(org_id, self._adopt)
                self._marks[org_id] = mark
        async with self._postgres.connect() as connection:
            self._unfinished = set((await connection.execute(_UNFINISHED)).scalars()) - self._faulty
        metrics.FEATURES_UNFINISHED.set(len(self._unfinished))

    async def turn(self) -> bool:
        """A chunk of each org that has something to do, so that a small one need not wait for a large one.

        Returns whether it is worth going on.
        """
        for org_id in sorted(self._unfinished):
            try:
                await self._for_one(org_id, self._advance)
            except RedisError as error:
                log.warning("gathering_postponed", org_id=org_id, reason=one_line(error))
                return False
        return bool(self._unfinished)

    async def progress(self) -> dict[str, int]:
        """Features whose past is being gathered, and how far that is."""
        async with self._postgres.connect() as connection:
            preparing, percent = (await connection.execute(_PROGRESS)).one()
        return {"preparing": preparing, "percent": progress_of(percent, ready=not preparing)}

    async def _work(self, until_s: float) -> None:
        """Leaves as much time to others as it takes."""
        while self._unfinished:
            began_s = time.monotonic()
            if not await run_to_end(self.turn()) or self._wake.is_set() or time.monotonic() >= until_s:
                return
            await asyncio.sleep(time.monotonic() - began_s)

    async def _for_one(self, org_id: UUID, work: Callable[[UUID], Awaitable[None]]) -> None:
        """An org whose rules or features are at fault is left alone until they change; the others go on."""
        try:
            await work(org_id)
        except Exception as error:
            if not is_faulty(error):
                raise
            self._faulty.add(org_id)
            self._unfinished.discard(org_id)
            log.error("features_at_fault", org_id=org_id, reason=one_line(error))

    async def _adopt(self, org_id: UUID) -> None:
        async with self._postgres.connect() as connection:
            ahead = adopt.changes(await adopt.read_asked(connection, org_id))
        if ahead.refused:
            log.warning("features_refused", org_id=org_id, count=len(ahead.refused))
        if ahead.any:
            now_ms = self._ledger.now_ms()
            made = await self._ledger.transact("adopt", lambda it: adopt.adopt(it, org_id, now_ms))
            log.info("features_changed", org_id=org_id, **made.counts)

    async def _advance(self, org_id: UUID) -> None:
        async with self._postgres.connect() as connection:
            begun = await gather.next_pass(connection, org_id)
        if begun is not None:
            await self._gather(begun)
        elif not await self._ledger.transact("remove", lambda it: adopt.remove_dropped(it, org_id)):
            self._unfinished.discard(org_id)

    async def _gather(self, begun: Pass) -> None:
        if begun.after is None:
            total = await self._ledger.transact("gather", lambda it: gather.expect(it, begun))
            log.info("gathering_began", org_id=begun.org_id, features=len(begun.features), customers=total)
        size = self._chunk_size
        began_s = time.monotonic()
        chunk = await self._ledger.transact("gather", lambda it: gather.gather_chunk(it, begun, size))
        self._chunk_size = _next_size(size, time.monotonic() - began_s)
        if chunk is None:
            return
        await self._projector.project(chunk.to_project)
        metrics.GATHERED.inc(chunk.customers)
        if not chunk.ended:
            await self._ledger.transact("gather", lambda it: gather.move_on(it, begun, chunk))
            return
        await self._end(begun, chunk)

    async def _end(self, begun: Pass, chunk: Chunk) -> None:
        now_ms = self._ledger.now_ms()
        ready = await self._ledger.transact("gather", lambda it: gather.end(it, begun, now_ms))
        if ready is not None:
            done = {"features": len(begun.features), "customers": begun.done + chunk.customers}
            log.info("gathering_ended", org_id=begun.org_id, audiences_ready=len(ready), **done)


def _next_size(size: int, took_s: float) -> int:
    """Of chunks: smaller after one that took long, because of customers with many events, larger after a quick one."""
    if took_s > _LONG_CHUNK_S:
        return max(size // 2, min(size, _FEWEST_CUSTOMERS))
    return min(size * 2, CUSTOMERS_AT_ONCE) if took_s < _LONG_CHUNK_S / 2 else size
