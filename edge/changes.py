"""What others changed: the `changes` stream, tailed without a gap, and a poll once a second that backs it up."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import Counter
from redis.asyncio import Redis

from edge.bundles import Bundles
from edge.clock import CorrectedClock, sync
from edge.redis_server import RedisServer
from edge.users import Users
from service.logs import one_line
from wire import codec, keys
from wire.bundle import Version

log = structlog.get_logger("edge")

BLOCK_MS = 1_000
_POLL_S = 1.0
_COUNT = 1_000

ENTRIES = Counter("inapp_edge_changes", "Entries of the change stream", ["kind"])
GAPS = Counter("inapp_edge_change_gaps", "Times that entries were missed, so that everything was read again")


class Changes:
    """`redis` for short commands, `blocking` for XREAD. `on_doubt` is called when Redis may have lost data."""

    def __init__(
        self,
        redis: Redis,
        blocking: Redis,
        server: RedisServer,
        clock: CorrectedClock,
        bundles: Bundles,
        users: Users,
        on_doubt: Callable[[], None],
    ) -> None:
        self._redis = redis
        self._blocking = blocking
        self._server = server
        self._clock = clock
        self._bundles = bundles
        self._users = users
        self._on_doubt = on_doubt
        self._last_id = b"0-0"
        self._sequence = 0
        self._polled_sequence = 0
        self._must_begin = False
        self.polled_at_s: float | None = None

    async def tail(self) -> None:
        """Follows the stream. Raises RedisError; each call begins by doubting all that is cached."""
        try:
            await self._begin()
            while True:
                if self._must_begin:
                    await self._begin()
                await self._read()
        finally:
            self._server.lose()

    async def _begin(self) -> None:
        """The position is noted before anything is read: a change in between is seen twice rather than never."""
        pipeline = self._blocking.pipeline(transaction=True)
        pipeline.xrevrange(keys.CHANGES, count=1)
        pipeline.get(keys.CHANGES_SEQUENCE)
        self._must_begin = False
        newest, sequence = await pipeline.execute()
        self._last_id = newest[0][0] if newest else b"0-0"
        self._sequence = int(sequence or 0)
        await self._server.identify(self._blocking)
        self._doubt()

    async def _read(self) -> None:
        streams: Any = await self._blocking.xread({keys.CHANGES: self._last_id}, count=_COUNT, block=BLOCK_MS)
        for _, entries in streams or ():
            for id_, fields in entries:
                self._last_id = id_
                self._take(fields)

    def _take(self, fields: Mapping[bytes, bytes]) -> None:
        try:
            sequence, kind, org_id = int(fields[b"seq"]), fields[b"kind"], UUID(fields[b"org"].decode())
            if sequence != self._sequence + 1:
                self._note_gap(f"entry {sequence} came after {self._sequence}")
            self._sequence = sequence
            self._apply(kind, org_id, fields[b"body"])
        except (KeyError, ValueError, TypeError) as error:
            self._note_gap(f"an entry is unreadable: {one_line(error)}")

    def _apply(self, kind: bytes, org_id: UUID, body: bytes) -> None:
        if kind == b"org":
            ENTRIES.labels("org").inc()
            self._bundles.announce(org_id, Version.parse(body.decode()))
        elif kind == b"users":
            ENTRIES.labels("users").inc()
            self._users.announce(org_id, codec.unpack(body))

    async def poll(self) -> None:
        """`poll_once` once a second, for ever. Raises RedisError."""
        while True:
            await self.poll_once()
            await asyncio.sleep(_POLL_S)

    async def poll_once(self) -> None:
        """Revisions, the clock, and whether Redis still is what it was. Raises RedisError."""
        read_up_to = self._sequence
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hgetall(keys.REVISIONS)
        pipeline.get(keys.CHANGES_SEQUENCE)
        revisions, sequence = await pipeline.execute()
        await sync(self._clock, self._redis)
        is_other = await self._server.identify(self._redis)
        self._compare(read_up_to, int(sequence or 0))
        if is_other:
            self._doubt()
        self._reconcile(revisions)
        self._users.forget_asked()
        self.polled_at_s = time.monotonic()

    def _compare(self, read_up_to: int, sequence: int) -> None:
        """A counter that went back was flushed; one that the tail did not reach in a second counts unseen entries."""
        if sequence < read_up_to or sequence >= self._polled_sequence > self._sequence:
            self._note_gap(f"the stream is at {sequence}, the reader at {self._sequence}")
            self._must_begin = True
            self._polled_sequence = 0
        else:
            self._polled_sequence = sequence

    def _reconcile(self, revisions: Mapping[bytes, bytes]) -> None:
        for org_id in self._bundles.org_ids():
            text = revisions.get(str(org_id).encode())
            if text is not None:
                try:
                    self._bundles.announce(org_id, Version.parse(text.decode()))
                except ValueError as error:
                    log.warning("revision_unreadable", org=str(org_id), reason=one_line(error))
        self._bundles.want(_org_ids(revisions))

    def _note_gap(self, reason: str) -> None:
        log.warning("changes_missed", reason=reason)
        GAPS.inc()
        self._doubt()

    def _doubt(self) -> None:
        self._users.doubt_all()
        self._bundles.refresh_all()
        self._on_doubt()


def _org_ids(names: Iterable[bytes]) -> Iterator[UUID]:
    for name in names:
        with contextlib.suppress(ValueError):
            yield UUID(name.decode())
