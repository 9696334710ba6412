"""Keeping every org's user states complete in Redis.

An org's marker says that they are. With another Redis run id in it, or without a marker, everybody is projected anew
from Postgres, whoever was here last first. A token is laid down before that and must still lie there at the end, so
that a flush in between is noticed.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import structlog
from redis.asyncio import Redis
from sqlalchemy import Row, Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from recorder import metrics
from recorder.rows.customers import CustomerKey
from recorder.states.project import CHUNK, Projector
from service.clock import NowMs, wall_now_ms
from store import tables
from wire import keys
from wire.codec import DecodeError
from wire.userstate import Marker

log = structlog.get_logger("rebuild")

POLL_S = 0.5

_FINISH = """
-- KEYS: token, marker. ARGV: our token, the marker. Returns whether the token had survived.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[1])
return 1
"""

_customers = tables.customers.c
_erased = tables.erased_customers.c


@dataclass(slots=True)
class Rebuild:
    """How far the rebuild of an org is. `after`: the place of the last one projected, in the running pass."""

    org_id: UUID
    run_id: str
    token: str
    total: int
    projected: int = 0
    customers_done: bool = False
    after: Any = None


class Rebuilder:
    def __init__(self, postgres: AsyncEngine, redis: Redis, projector: Projector, now_ms: NowMs = wall_now_ms) -> None:
        self._postgres = postgres
        self._redis = redis
        self._projector = projector
        self._now_ms = now_ms
        self._finish = redis.register_script(_FINISH)
        self._running: dict[UUID, Rebuild] = {}
        self._looked = False

    @property
    def complete(self) -> bool:
        """Whether every org's user states were in Redis at the last look."""
        return self._looked and not self._running

    def progress(self) -> dict[str, int]:
        running = self._running.values()
        return {
            "orgsLeft": len(running),
            "projected": sum(each.projected for each in running),
            "total": sum(each.total for each in running),
        }

    async def run(self) -> None:
        """Until cancelled. Orgs take turns, a chunk each, so that a small one need not wait for a large one."""
        loop = asyncio.get_running_loop()
        while True:
            await self.look()
            until_s = loop.time() + POLL_S
            while self._running and loop.time() < until_s:
                for rebuild in list(self._running.values()):
                    await self.advance(rebuild)
            await asyncio.sleep(max(0.0, until_s - loop.time()))

    async def look(self) -> None:
        """Begins what needs rebuilding, and lets go of what does not any more."""
        run_id = str((await self._redis.info("server"))["run_id"])
        stale = await self._stale_orgs(run_id)
        self._running = {
            org_id: rebuild for org_id, rebuild in self._running.items() if org_id in stale and rebuild.run_id == run_id
        }
        for org_id in stale - self._running.keys():
            self._running[org_id] = await self._begin(org_id, run_id)
        self._looked = True
        metrics.REBUILD_LEFT.set(len(self._running))

    async def advance(self, rebuild: Rebuild) -> None:
        """Projects the next chunk; after the last one, writes the marker or, when Redis was flushed, begins anew."""
        subjects = await self._next(rebuild)
        if subjects:
            await self._projector.project_with_visitors([CustomerKey(rebuild.org_id, each) for each in subjects])
            rebuild.projected += len(subjects)
            log.debug("rebuild_progress", org_id=rebuild.org_id, projected=rebuild.projected, total=rebuild.total)
        elif rebuild.customers_done:
            await self._end(rebuild)
        else:
            rebuild.customers_done, rebuild.after = True, None

    async def _stale_orgs(self, run_id: str) -> set[UUID]:
        async with self._postgres.connect() as connection:
            org_ids = list((await connection.execute(select(tables.orgs.c.id))).scalars())
        if not org_ids:
            return set()
        markers: list[Any] = await self._redis.mget([keys.user_states(org_id) for org_id in org_ids])
        return {org_id for org_id, marker in zip(org_ids, markers, strict=True) if not _is_valid(marker, run_id)}

    async def _begin(self, org_id: UUID, run_id: str) -> Rebuild:
        """Recorders share a token, so that they do not take the ground from under each other's rebuild."""
        key = keys.user_states_token(org_id)
        await self._redis.set(key, uuid4().hex, nx=True)
        token: Any = await self._redis.get(key) or b""
        counted = select(func.count()).where(_customers.org_id == org_id)
        async with self._postgres.connect() as connection:
            total = (await connection.execute(counted)).scalar_one()
        log.info("rebuild_began", org_id=org_id, customers=total)
        return Rebuild(org_id, run_id, token.decode(), total)

    async def _next(self, rebuild: Rebuild) -> list[str]:
        """The next customers; after them the erased ones, whose old states may have survived in Redis."""
        query = _erased_after(rebuild) if rebuild.customers_done else _customers_after(rebuild)
        async with self._postgres.connect() as connection:
            rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
        if rows:
            rebuild.after = tuple(rows[-1])
        return [row.subject for row in rows]

    async def _end(self, rebuild: Rebuild) -> None:
        marker = Marker(rebuild.run_id, self._now_ms()).encode()
        at = [keys.user_states_token(rebuild.org_id), keys.user_states(rebuild.org_id)]
        survived = await self._finish(keys=at, args=[rebuild.token, marker])
        del self._running[rebuild.org_id]
        result = "completed" if survived else "token_lost"
        metrics.REBUILDS.labels(result).inc()
        log.info("rebuild_ended", org_id=rebuild.org_id, result=result, projected=rebuild.projected)


def _is_valid(marker: bytes | None, run_id: str) -> bool:
    try:
        return marker is not None and Marker.decode(marker).run_id == run_id
    except DecodeError:
        return False


def _customers_after(rebuild: Rebuild) -> Select[Any]:
    place = (_customers.last_seen_ms, _customers.subject)
    query = select(*place).where(_customers.org_id == rebuild.org_id)
    if rebuild.after is not None:
        query = query.where(tuple_(*place) < tuple_(*rebuild.after))
    return query.order_by(*(column.desc() for column in place)).limit(CHUNK)


def _erased_after(rebuild: Rebuild) -> Select[Any]:
    query = select(_erased.subject).where(_erased.org_id == rebuild.org_id)
    if rebuild.after is not None:
        query = query.where(_erased.subject > rebuild.after[0])
    return query.order_by(_erased.subject).limit(CHUNK)
