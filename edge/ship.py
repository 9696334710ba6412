"""Batches from the spool to Redis, in order; out of the spool only once the recorder has committed them.

Redis is transport, never the only copy: a batch that is neither in its stream nor marked as committed is sent again.
The stream is looked at before the marks, because the recorder marks a batch before it takes it out of the stream.
"""

import asyncio
from collections.abc import Iterable

import structlog
from prometheus_client import Counter, Gauge
from redis.asyncio import Redis

from edge.clock import NowMs
from edge.overlay import Overlay
from edge.spool import Spool, SpooledBatch
from edge.users import Users
from wire import events, keys
from wire.events import EventBatch

log = structlog.get_logger("edge")

_LOOK_AGAIN_S = 0.1
_SEND_BYTES = 2 * 1024 * 1024
_PAGE = 100

SHIPPED = Counter("inapp_edge_batches_shipped", "Batches put into the event stream, re-sent ones too")
RESENT = Counter("inapp_edge_batches_resent", "Batches put into the event stream again because they were lost from it")
COMMITTED = Counter("inapp_edge_batches_committed", "Batches that the recorder has committed")
OLDEST_S = Gauge("inapp_edge_oldest_unshipped_seconds", "Age of the oldest batch that is not in the event stream; 0: none")


class Shipper:
    """`positions`: batch number → id of its entry in the stream, None when it may or may not be there."""

    def __init__(self, redis: Redis, spool: Spool, overlay: Overlay, users: Users, now_ms: NowMs) -> None:
        self._redis = redis
        self._spool = spool
        self._overlay = overlay
        self._users = users
        self._now_ms = now_ms
        self._unsent: dict[int, int] = {}
        self._positions: dict[int, bytes | None] = {}
        self._to_lay_off: set[int] = set()
        self._something_new = asyncio.Event()
        self._must_check = True

    def begin_with(self, stored: Iterable[SpooledBatch]) -> None:
        """What an earlier process left behind; it may have sent it."""
        self._positions = {batch.number: None for batch in stored}

    def offer(self, batch: EventBatch) -> None:
        """A batch that has just been committed to the spool."""
        self._unsent[batch.number] = max(event.received_ms for event in batch.events)
        self._note_age()
        self._something_new.set()

    def check_soon(self) -> None:
        """Redis may have lost what it was given."""
        self._must_check = True
        self._something_new.set()

    async def run(self) -> None:
        """For ever. Raises RedisError; what was sent when is remembered for the next call."""
        self._must_check = True
        while True:
            await self.flush()
            await self._settle()
            await self._rest()

    async def flush(self) -> None:
        """Sends what the stream has not had. Raises RedisError."""
        if self._must_check and self._positions:
            await self._check()
        self._must_check = False
        while self._unsent:
            first = min(self._unsent)
            await self._send([batch for batch in await self._spool.read(first - 1, _SEND_BYTES)])

    async def _rest(self) -> None:
        waits_for_marks = self._positions or self._to_lay_off
        try:
            async with asyncio.timeout(_LOOK_AGAIN_S if waits_for_marks else None):
                await self._something_new.wait()
        except TimeoutError:
            return
        self._something_new.clear()
