"""User states into Redis, where edges read them."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import TypeVar
from uuid import UUID

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from recorder import claims, metrics
from recorder.rows.customers import CustomerKey
from recorder.states.read import Projection, read_states
from store.user_states import STATES_AT_ONCE
from wire import keys

T = TypeVar("T")

CHUNK = 500
"""Subjects in one call: short enough that Redis answers others in between."""

_PUT_IF_NEWER = """
-- KEYS: the sequence, the stream, then a key for each state. ARGV: org, length of the stream, then for each state
-- its subject, its bytes, and the seconds until it expires (0: never). Returns how many states were newer.
local function rev_of(value)
    local ok, _, rev = pcall(cmsgpack.unpack_limit, value, 1, 0)
    return ok and type(rev) == 'number' and rev
end
local moved = {}
for place = 3, #KEYS do
    local argument = 3 * (place - 2)
    local subject, value, life = ARGV[argument], ARGV[argument + 1], tonumber(ARGV[argument + 2])
    local rev = rev_of(value)
    local held = rev_of(redis.call('GETRANGE', KEYS[place], 0, 15))
    if not held or rev > held then
        if life > 0 then
            redis.call('SET', KEYS[place], value, 'EX', life)
        else
            redis.call('SET', KEYS[place], value)
        end
        moved[#moved + 1] = {subject, rev}
    end
end
if #moved > 0 then
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'seq', redis.call('INCR', KEYS[1]), 'kind', 'users',
        'org', ARGV[1], 'body', cmsgpack.pack(moved))
end
return #moved
"""


class Projector:
    def __init__(self, postgres: AsyncEngine, redis: Redis) -> None:
        self._snapshots = postgres.execution_options(isolation_level="REPEATABLE READ")
        self._put_if_newer = redis.register_script(_PUT_IF_NEWER)

    async def project(self, touched: Iterable[CustomerKey]) -> None:
        """Reads what is committed of these customers and puts it into Redis, unless that holds something newer."""
        by_org: defaultdict[UUID, list[str]] = defaultdict(list)
        for key in touched:
            by_org[key.org_id].append(key.subject)
        for org_id, named in by_org.items():
            for chunk in _chunks(named):
                await self._project_chunk(org_id, chunk)

    async def project_with_visitors(self, customers: Collection[CustomerKey]) -> None:
        """These, and the anonymous visitors that they have claimed."""
        async with self._snapshots.connect() as connection:
            visitors = await claims.visitors_of(connection, customers)
        await self.project([*customers, *sorted(visitors)])

    async def _project_chunk(self, org_id: UUID, named: Collection[str]) -> None:
        async with self._snapshots.connect() as connection:
            projections = await read_states(connection, org_id, named)
        for chunk in _chunks(projections):
            await self._put(org_id, chunk)

    async def _put(self, org_id: UUID, projections: Collection[Projection]) -> None:
        at = [keys.CHANGES_SEQUENCE, keys.CHANGES, *(keys.user(org_id, each.subject) for each in projections)]
        arguments: list[str | bytes | int] = [str(org_id), keys.CHANGES_MAX_LENGTH]
        for number, each in enumerate(projections):
            if number % STATES_AT_ONCE == 0:
                await asyncio.sleep(0)
            arguments += (each.subject, each.state.encode(), each.life_s)
        moved = await self._put_if_newer(keys=at, args=arguments)
        metrics.PROJECTED.inc(len(projections))
        metrics.MOVED.inc(int(moved))


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
