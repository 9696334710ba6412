"""Event batches out of Redis: read, store, project, mark, acknowledge, in that order.

What is stored is projected and acknowledged while the next is being stored. Whoever dies in between leaves entries
pending; they are taken up again and change nothing that was done already.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from recorder import metrics
from recorder.batches.entries import Entry, read_entry
from recorder.ledger import Ledger
from recorder.rows.customers import CustomerKey
from recorder.states.project import Projector
from recorder.stopping import run_to_end
from wire import keys

log = structlog.get_logger("consume")

BLOCK_MS = 1000
ABANDONED_MS = 10_000
"""An entry that its consumer has held for so long belongs to a dead one."""

_ENTRIES = 64
"""Entries of one stream in one read."""
_EVENTS = 5000
"""Events in one transaction, except that a batch stays whole. Whoever is in many of them is read and written once."""
_LOOK_FOR_ABANDONED_S = 5.0
_MARKS_LIFE_S = 86_400
"""A spool that does not come for its marks sends its batches again, and finds new ones."""

_GROUP_GONE = ("NOGROUP", "UNBLOCKED")
"""How Redis says that it was flushed: before the read, or during it."""

_STREAMS = [keys.events(shard) for shard in range(keys.EVENT_SHARDS)]


class Consumer:
    """`blocking` is a client of its own, made for BLOCK_MS. `name` tells the recorders of the group apart."""

    def __init__(self, redis: Redis, blocking: Redis, ledger: Ledger, projector: Projector, name: str) -> None:
        self._redis = redis
        self._blocking = blocking
        self._ledger = ledger
        self._projector = projector
        self._name = name
        self._looked_s = 0.0
        self._following: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until cancelled, and then to the end of what has begun. Errors of Redis and Postgres come out."""
        try:
            await self._consume()
        finally:
            await run_to_end(self._followed())

    async def _consume(self) -> None:
        while True:
            await create_groups(self._redis)
            try:
                await self._take_up_own()
                await self._take_up_new()
            except ResponseError as error:
                if not str(error).startswith(_GROUP_GONE):
                    raise
                log.warning("consumer_group_gone")

    async def _take_up_own(self) -> None:
        while entries := await self._read("0"):
            log.info("taking_up_own_entries", entries=len(entries))
            await self._process(entries)
            await self._followed()

    async def _take_up_new(self) -> None:
        """The next are read, or waited for, while the last are being stored."""
        waiting: list[Entry] = []
        reading = asyncio.create_task(self._read(">"))
        try:
            while True:
                await self._take_up_abandoned()
                if not waiting or (reading.done() and _size(waiting) < _EVENTS):
                    waiting += await reading
                    reading = asyncio.create_task(self._read(">"))
                part = next(_parts(waiting), [])
                waiting = waiting[len(part) :]
                await self._process(part)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _take_up_abandoned(self) -> None:
        if time.monotonic() - self._looked_s < _LOOK_FOR_ABANDONED_S:
            return
        for stream in _STREAMS:
            while entries := await self._claim(stream):
                log.info("taking_up_abandoned_entries", stream=stream, entries=len(entries))
                await self._process(entries)
                await self._followed()
        self._looked_s = time.monotonic()

    async def _read(self, after: str) -> list[Entry]:
        """`>`: entries that nobody has had, waiting for them; `0`: those that we had and did not acknowledge."""
        replies: Any = await self._blocking.xreadgroup(
            keys.RECORDER_GROUP, self._name, dict.fromkeys(_STREAMS, after), count=_ENTRIES, block=BLOCK_MS
        )
        entries = []
        for stream, replied in replies:
            for id_, fields in replied:
                entries.append(read_entry(stream, id_, fields))
                await asyncio.sleep(0)  # a transaction may be waiting for us to go on
        return entries

    async def _claim(self, stream: str) -> list[Entry]:
        claimed: Any = await self._redis.xautoclaim(
            stream, keys.RECORDER_GROUP, self._name, ABANDONED_MS, "0-0", count=_ENTRIES
        )
        return [read_entry(stream.encode(), id_, fields) for id_, fields in claimed[1]]

    async def _process(self, entries: Sequence[Entry]) -> None:
        for part in _parts(entries):
            await run_to_end(self._record(part))
        if not entries:
            await self._followed()

    async def _record(self, entries: Sequence[Entry]) -> None:
        events = [event for entry in entries for event in entry.events]
        recorded = await self._ledger.record(events)
        await self._ledger.declare_lost([lost for entry in entries for lost in entry.lost])
        if events:
            metrics.LAG_MS.set(self._ledger.now_ms() - min(event.received_ms for event in events))
        await self._followed()
        self._following = asyncio.create_task(self._follow(entries, recorded.touched))

    async def _follow(self, entries: Sequence[Entry], touched: Iterable[CustomerKey]) -> None:
        await self._projector.project(touched)
        await self._acknowledge(entries)

    async def _followed(self) -> None:
        """Until what was stored last is in Redis and acknowledged. Raises what came in the way of that."""
        following, self._following = self._following, None
        if following is not None:
            await following

    async def _acknowledge(self, entries: Iterable[Entry]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for entry in entries:
                if entry.batch is not None:
                    spool, number = entry.batch
                    pipeline.sadd(keys.committed(spool), number)
                    pipeline.expire(keys.committed(spool), _MARKS_LIFE_S)
                pipeline.xack(entry.stream, keys.RECORDER_GROUP, entry.id)
                pipeline.xdel(entry.stream, entry.id)
            await pipeline.execute()


async def create_groups(redis: Redis) -> None:
    """The consumer group on every shard, from its first entry. Groups that are there stay as they are."""
    for stream in _STREAMS:
        try:
            await redis.xgroup_create(stream, keys.RECORDER_GROUP, "0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise


def _size(entries: Iterable[Entry]) -> int:
    return sum(len(entry.events) for entry in entries)


def _parts(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """What goes into one transaction each."""
    part: list[Entry] = []
    size = 0
    for entry in entries:
        if part and size + len(entry.events) > _EVENTS:
            yield part
            part, size = [], 0
        part.append(entry)
        size += len(entry.events)
    if part:
        yield part
