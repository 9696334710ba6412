"""Batches from the spool to Redis, in order but for those sent again; out of the spool once the recorder has them.

Redis is transport, never the only copy: a batch that is neither in its stream nor marked as committed is sent again.
The stream is looked at before the marks, because the recorder marks a batch before it takes it out of the stream.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from prometheus_client import Counter, Gauge
from redis.asyncio import Redis

from edge.overlay import Overlay
from edge.slices import in_slices
from edge.spool import Spool
from edge.spool_file import SpooledBatch
from edge.users import Key, Users
from service.clock import NowMs
from wire import events, keys, subjects

log = structlog.get_logger("edge")

_LOOK_AGAIN_S = 0.1
_SEND_EVERY_S = 0.01
"""Of single events a batch comes every two or three milliseconds, and a sending takes 0.2 ms however little it carries.
"""
_SEND_BYTES = 256 * 1024
_HELD_BYTES = 16 * 1024 * 1024
"""Of batches that wait to be sent; what goes past that is read from the spool."""
_READ_AT_ONCE = 25
"""Customers whose states are read again in one turn of the loop."""
_PAGE = 50

_FIND = """
local entries = redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', ARGV[3])
local found, last = {}, false
for _, entry in ipairs(entries) do
  last = entry[1]
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  if fields['spool'] == ARGV[1] then found[#found + 1] = {entry[1], tonumber(fields['number'])} end
end
return {last, found}
"""
"""One page of a stream → (id of the page's last entry, [(id, number) of the entries of this spool])."""

SHIPPED = Counter("inapp_edge_batches_shipped", "Batches put into the event stream, re-sent ones too")
RESENT = Counter("inapp_edge_batches_resent", "Batches put into the event stream again, because they were lost from it")
COMMITTED = Counter("inapp_edge_batches_committed", "Batches that the recorder has committed")
OLDEST_S = Gauge(
    "inapp_edge_oldest_unshipped_seconds",
    "Age of the oldest batch that is not in the event stream; 0: none",
    multiprocess_mode="livemax",
)


class Shipper:
    """Every batch in the spool is unsent, sent (with the id of its stream entry), or unsure: one of the two."""

    def __init__(self, redis: Redis, spool: Spool, overlay: Overlay, users: Users, now_ms: NowMs) -> None:
        self._redis = redis
        self._spool = spool
        self._overlay = overlay
        self._users = users
        self._now_ms = now_ms
        self._accepted_ms: dict[int, int] = {}
        self._unsent: set[int] = set()
        self._unsure: set[int] = set()
        self._sent: dict[int, bytes] = {}
        self._laid_over: set[int] = set()
        self._held: dict[int, SpooledBatch] = {}
        self._held_bytes = 0
        self._look_at_s = 0.0
        self._sent_at_s = -_SEND_EVERY_S
        self._must_check = False
        self._wake = asyncio.Event()

    def begin_with(self, stored: Iterable[SpooledBatch]) -> None:
        """What an earlier process left behind; it may have sent it."""
        self._accepted_ms = {batch.number: batch.accepted_ms for batch in stored}
        self._unsure = set(self._accepted_ms)

    def offer(self, batch: SpooledBatch) -> None:
        """A batch that has just been committed to the spool."""
        self._accepted_ms[batch.number] = batch.accepted_ms
        self._unsent.add(batch.number)
        if self._held_bytes + len(batch.body) <= _HELD_BYTES:
            self._held[batch.number] = batch
            self._held_bytes += len(batch.body)
        self._wake.set()

    def check_soon(self) -> None:
        """Redis may have lost what it was given."""
        self._must_check = True
        self._wake.set()

    async def run(self) -> None:
        """For ever. Raises RedisError; the next call goes on from there."""
        self._must_check = True
        while True:
            await self.flush()
            if time.monotonic() >= self._look_at_s:
                await self._settle()
                self._look_at_s = time.monotonic() + _LOOK_AGAIN_S
            await self._rest()
            await asyncio.sleep(max(self._sent_at_s + _SEND_EVERY_S - time.monotonic(), 0))

    async def flush(self) -> None:
        """Sends what the stream lacks. Raises RedisError."""
        if self._unsure or (self._must_check and self._sent):
            await self._check()
        self._must_check = False
        while self._unsent:
            first = min(self._unsent)
            await self._send(self._take_held(first) or await self._read(first))
            self._unsent.discard(first)

    def _take_held(self, first: int) -> list[SpooledBatch]:
        """The batch of that number and those after it, as far as they are in memory and one sending goes."""
        taken: list[SpooledBatch] = []
        size_bytes = 0
        while size_bytes < _SEND_BYTES and (batch := self._held.pop(first + len(taken), None)) is not None:
            taken.append(batch)
            size_bytes += len(batch.body)
        self._held_bytes -= size_bytes
        return [batch for batch in taken if batch.number in self._unsent]

    async def _read(self, first: int) -> list[SpooledBatch]:
        batches = await self._spool.read(first - 1, _SEND_BYTES)
        return [batch for batch in batches if batch.number in self._unsent]

    async def _rest(self) -> None:
        """Until there is something to do: at once for new batches, else as long as marks may wait to be seen."""
        waits = bool(self._accepted_ms or self._laid_over)
        try:
            async with asyncio.timeout(max(self._look_at_s - time.monotonic(), 0) if waits else None):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    @property
    def _stream(self) -> str:
        return keys.events(keys.event_shard(self._spool.id))

    @property
    def _marks(self) -> str:
        return keys.committed(self._spool.id)

    async def _send(self, batches: Sequence[SpooledBatch]) -> None:
        numbers = [batch.number for batch in batches]
        pipeline = self._redis.pipeline(transaction=False)
        for batch in batches:
            entry: dict[Any, Any] = events.entry(self._spool.id, batch.number, batch.event_count, batch.body)
            pipeline.xadd(self._stream, entry)
        self._sent_at_s = time.monotonic()
        self._unsent.difference_update(numbers)
        self._unsure.update(numbers)
        ids = await pipeline.execute()
        self._unsure.difference_update(numbers)
        self._sent.update(zip(numbers, ids, strict=True))
        SHIPPED.inc(len(numbers))

    async def _check(self) -> None:
        """Finds out about each batch that was, or may have been, sent."""
        in_question = self._unsure | self._sent.keys()
        found = await self._find()
        marked = await self._marked()
        lost = in_question - found.keys() - marked
        if lost:
            log.info("batches_sent_again", batches=len(lost), in_question=len(in_question))
            RESENT.inc(len(lost))
        self._unsent |= lost
        self._unsure -= in_question
        self._sent = {number: found.get(number, b"") for number in in_question - lost}

    async def _find(self) -> dict[int, bytes]:
        """Batch number → id of its entry, for all of this spool that are in the stream."""
        found: dict[int, bytes] = {}
        start = b"-"
        while True:
            last, page = await self._redis.eval(_FIND, 1, self._stream, self._spool.id.bytes, start, _PAGE)
            if last is None:
                return found
            found.update((number, id_) for id_, number in page)
            start = b"(" + last

    async def _marked(self) -> set[int]:
        return {int(number) for number in await self._redis.smembers(self._marks)}

    async def _settle(self) -> None:
        """Lets go of what is committed; notices when the oldest sent batch has gone missing."""
        oldest = min(self._sent, default=None)
        there = oldest is None or await self._is_in_stream(self._sent[oldest])
        marked = await self._marked()
        if not there and oldest not in marked:
            self.check_soon()
        if marked:
            await self._let_go(marked)
        await self._drop_projected()

    async def _is_in_stream(self, id_: bytes) -> bool:
        return bool(id_) and bool(await self._redis.xrange(self._stream, id_, id_))

    async def _let_go(self, committed: set[int]) -> None:
        await self._spool.remove(committed)
        for number in committed:
            if self._accepted_ms.pop(number, None) is not None:
                COMMITTED.inc()
            self._sent.pop(number, None)
        self._laid_over |= committed
        self._unsent -= committed
        self._unsure -= committed
        await self._redis.srem(self._marks, *committed)

    async def _drop_projected(self) -> None:
        """Committed batches are in the states that Redis has: once those are read again, the overlay can go."""
        while self._laid_over:
            numbers, concerned = self._next_projected()
            for place in range(0, len(concerned), _READ_AT_ONCE):
                if not await self._users.refresh(concerned[place : place + _READ_AT_ONCE]):
                    return
            for number in numbers:
                await in_slices(self._overlay.dropping(number))
            self._laid_over.difference_update(numbers)

    def _next_projected(self) -> tuple[list[int], list[Key]]:
        """(some of the batches, whose states they changed). Users come first: a visitor's state that a claim emptied
        must not be in memory before that of the user who lists them."""
        numbers: list[int] = []
        concerned: set[Key] = set()
        for number in sorted(self._laid_over):
            numbers.append(number)
            concerned |= self._overlay.subjects(number)
            if len(concerned) >= _READ_AT_ONCE:
                break
        return numbers, sorted(concerned, key=lambda key: not subjects.is_user(key[1]))

    def count_age(self) -> None:
        """Brings the metric of the oldest batch up to date."""
        waiting = self._unsent | self._unsure
        OLDEST_S.set(max(self._now_ms() - self._accepted_ms[min(waiting)], 0) / 1000 if waiting else 0)
