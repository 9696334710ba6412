"""Users whom edges ask for, because they cannot know whether a missing state is an unknown user's."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from recorder.rows.customers import CustomerKey
from recorder.states.project import Projector
from wire import keys

BLOCK_MS = 1000
_AT_ONCE = 500


class Wanted:
    """`blocking` is a client of its own, made for BLOCK_MS."""

    def __init__(self, redis: Redis, blocking: Redis, projector: Projector) -> None:
        self._redis = redis
        self._blocking = blocking
        self._projector = projector

    async def run(self) -> None:
        """Until cancelled. The stream holds only what nobody has answered yet: an answered entry is deleted."""
        while True:
            replies: Any = await self._blocking.xread({keys.WANTED: "0"}, count=_AT_ONCE, block=BLOCK_MS)
            for _, entries in replies:
                await self._projector.project(_customers(fields for _, fields in entries))
                await self._redis.xdel(keys.WANTED, *(id_ for id_, _ in entries))


def _customers(asked: Iterable[Mapping[bytes, bytes]]) -> set[CustomerKey]:
    """Whom the entries name; those that name nobody are left out."""
    named = set()
    for fields in asked:
        try:
            named.add(CustomerKey(UUID(fields[b"org"].decode()), fields[b"subject"].decode()))
        except (KeyError, ValueError):
            continue
    return named
