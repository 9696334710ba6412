"""Compiles what waits, org by org, for as long as this compiler has the lease."""

import asyncio
import time
from dataclasses import dataclass
from uuid import UUID

import structlog
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from compiler import inspect, metrics
from compiler.backlog import Backlog
from compiler.check import check
from compiler.compile import NO_PARTS, Compiled, compile_org
from compiler.inspect import Inspector
from compiler.lease import Lease, LeaseLostError, Term
from compiler.memory import Made, Memory
from compiler.outage import is_outage
from compiler.publish import publish
from compiler.reconcile import Standing, overdue, read_state
from compiler.schedule import Schedule
from compiler.settle import settle
from compiler.snapshot import Snapshot, take_snapshot
from service.clock import wall_now_ms
from service.logs import one_line

log = structlog.get_logger("compiler")

_TAKERS = 4
"""Orgs compiled at once, so that one that waits for something does not hold up the rest."""

_ORG_TIMEOUT_S = 60
_FIRST_RETRY_S = 1.0
_LONGEST_RETRY_S = 60.0


class StaleError(Exception):
    """A newer manifest stands in Redis than Postgres can make: another compiler is at work, or Postgres was restored
    and the lease's `generation` has to be raised by hand."""


@dataclass(frozen=True, slots=True)
class Retry:
    """When an org that failed is due again, by the monotonic clock, and how long that was to wait."""

    at: float
    wait_s: float


class Worker:
    """Three tasks to supervise (`run`, `reconcile`, and the caller's own listener) around one backlog.

    Orgs come into the backlog through `changed` (a notification), `schedule` (a boundary) and `reconcile` (whatever
    was lost otherwise). Nothing is lost with the backlog: what it stands for is in Postgres and Redis.
    """

    def __init__(self, postgres: AsyncEngine, redis: Redis, lease: Lease) -> None:
        self._postgres = postgres
        self._redis = redis
        self._lease = lease
        self._backlog = Backlog()
        self._wanted = asyncio.Event()
        self._standing: dict[UUID, Standing] = {}
        self._problems: dict[UUID, int] = {}
        self._preparing: dict[UUID, int] = {}
        self._retries: dict[UUID, Retry] = {}
        self._memory = Memory()
        self._damaged: set[UUID] = set()
        self._known_term: Term | None = None
        self._inspector = Inspector(redis)
        self._inspect_at = 0.0
        self.schedule = Schedule(self.wake, self._backlog.change)

    def changed(self, org_id: UUID) -> None:
        """An org changed just now. It does not wait for a retry: the change may be what mends it."""
        if self._lease.term is not None:
            self._backlog.change(org_id)

    def wake(self) -> None:
        """Reconciles at once."""
        self._wanted.set()

    async def reconcile(self) -> None:
        """Puts what is overdue into the backlog, each time it is woken. Raises when a server cannot be reached."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._reconcile_once()
            if time.monotonic() >= self._inspect_at:
                await self._inspect_once()

    async def run(self) -> None:
        """Compiles until it is cancelled. Raises when a server cannot be reached: no org is to blame for that."""
        try:
            async with asyncio.TaskGroup() as takers:
                for _ in range(_TAKERS):
                    takers.create_task(self._take())
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _reconcile_once(self) -> None:
        term = self._lease.term
        metrics.LEASE_HELD.set(term is not None)
        if term is None:
            return
        if term != self._known_term:
            self._begin(term)
        # Copied before Redis is read, else what is published in between would look as if it had gone back.
        standing = dict(self._standing)
        state = await read_state(self._postgres, self._redis)
        now_ms = wall_now_ms()
        metrics.OUTBOX_AGE_SECONDS.set(max(0, now_ms - min(state.waiting.values(), default=now_ms)) / 1000)
        for org_id in overdue(state, standing, now_ms):
            if self._may_try(org_id):
                self._backlog.overdue(org_id)

    async def _inspect_once(self) -> None:
        """Has what went bad in Redis published again: no version and no notification would tell of it."""
        self._inspect_at = time.monotonic() + inspect.EVERY_S
        if self._lease.term is None:
            return
        expected = {org_id: each.version for org_id, each in self._standing.items()}
        for org_id, reason in await self._inspector.round(expected):
            metrics.DAMAGED.inc()
            log.error("published_bytes_damaged", org=str(org_id), reason=reason)
            self._damaged.add(org_id)
            if self._may_try(org_id):
                self._backlog.overdue(org_id)

    def _begin(self, term: Term) -> None:
        """Another compiler, perhaps of another version, may have published in the meantime: know nothing."""
        self._known_term = term
        self._standing.clear()
        self._problems.clear()
        self._preparing.clear()
        self._retries.clear()
        self._damaged.clear()
        self._memory.clear()

    async def _take(self) -> None:
        while True:
            org_id = await self._backlog.take()
            try:
                term = self._lease.term
                if term is not None:
                    await self._attempt(org_id, term)
            finally:
                self._backlog.done(org_id)

    async def _attempt(self, org_id: UUID, term: Term) -> None:
        try:
            async with asyncio.timeout(_ORG_TIMEOUT_S):
                await self._compile(org_id, term)
        except LeaseLostError:
            metrics.COMPILES.labels("lease_lost").inc()
            self._lease.drop(term)
        except StaleError as error:
            metrics.COMPILES.labels("stale").inc()
            wait_s = self._retry_later(org_id)
            log.warning("manifest_is_stale", org=str(org_id), reason=str(error), retry_in_seconds=wait_s)
        except Exception as error:
            metrics.COMPILES.labels("failed").inc()
            if is_outage(error):
                raise
            wait_s, reason = self._retry_later(org_id), one_line(error)
            log.exception("org_not_published", org=str(org_id), reason=reason, retry_in_seconds=wait_s)
        else:
            metrics.COMPILES.labels("published").inc()
            self._retries.pop(org_id, None)

    async def _compile(self, org_id: UUID, term: Term) -> None:
        snapshot = await take_snapshot(self._postgres, org_id, term)
        # In a thread, so that a large org does not keep the lease from being renewed.
        made = await asyncio.to_thread(_compile_and_check, snapshot, wall_now_ms(), self._memory.get(org_id))
        self._memory.keep(org_id, made)
        anew = self._must_write_all(org_id, term)
        published = await publish(self._redis, org_id, made.compiled, anew=anew)
        if published.outcome == "stale":
            raise StaleError(f"{published.standing} stands in Redis and {snapshot.version} is not newer")
        if anew:
            self._damaged.discard(org_id)
        self._stands(snapshot, made.compiled)
        await settle(self._postgres, snapshot, made.compiled.problems)

    def _must_write_all(self, org_id: UUID, term: Term) -> bool:
        """Whether what stands in Redis may be another's, or was found damaged."""
        standing = self._standing.get(org_id)
        return standing is None or standing.version[:2] != term[:2] or org_id in self._damaged

    def _stands(self, snapshot: Snapshot, compiled: Compiled) -> None:
        org_id = snapshot.org_id
        self._standing[org_id] = Standing(snapshot.version, compiled.changes_ms)
        self.schedule.expect(org_id, compiled.changes_ms)
        self._problems[org_id] = len(compiled.problems)
        metrics.PROBLEMS.set(sum(self._problems.values()))
        self._preparing[org_id] = compiled.preparing
        metrics.PREPARING.set(sum(self._preparing.values()))
        lag_ms = max((wall_now_ms() - row.created_ms for row in snapshot.waiting), default=None)
        if lag_ms is not None:
            metrics.LAG_SECONDS.observe(max(0, lag_ms) / 1000)
        log.info(
            "org_published",
            org=str(org_id),
            version=str(snapshot.version),
            messages=compiled.manifest.message_count,
            left_out=len(compiled.problems),
            preparing=compiled.preparing,
            lag_ms=lag_ms,
        )

    def _retry_later(self, org_id: UUID) -> float:
        before = self._retries.get(org_id)
        wait_s = _FIRST_RETRY_S if before is None else min(before.wait_s * 2, _LONGEST_RETRY_S)
        self._retries[org_id] = Retry(time.monotonic() + wait_s, wait_s)
        return wait_s

    def _may_try(self, org_id: UUID) -> bool:
        retry = self._retries.get(org_id)
        return retry is None or time.monotonic() >= retry.at


def _compile_and_check(snapshot: Snapshot, now_ms: int, before: Made | None) -> Made:
    with metrics.COMPILE_SECONDS.time():
        compiled = compile_org(snapshot, now_ms, before.compiled.parts if before else NO_PARTS)
        return Made(compiled, check(compiled, before.checked if before else None))
