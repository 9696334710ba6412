"""User states in memory, as Redis has them, bounded in bytes. Misses of one turn of the loop go out as one MGET."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge
from redis.asyncio import Redis
from redis.exceptions import RedisError

from edge.redis_server import RedisServer
from service.logs import one_line
from wire import keys
from wire.codec import DecodeError
from wire.userstate import UserState, rev_of

log = structlog.get_logger("edge")

Key = tuple[UUID, str]
"""(org, subject)."""

_LOAD_TIMEOUT_S = 1.0
_RETRY_AFTER_S = 0.25
_FIXED_BYTES = 800
"""What a customer takes besides the encoded state: the names, the entry, and what was found out about them."""
_MOST_SPARED = 32
_STATES_SHARE = 8
"""Encoded states take up to this part of the bytes, however few customers there are: memory that large pieces once took
is of little use to others."""

LOADS = Counter("inapp_edge_user_loads", "User states asked of Redis", ["outcome"])
CACHED_BYTES = Gauge(
    "inapp_edge_user_cache_bytes", "Estimated bytes of the cached user states", multiprocess_mode="livesum"
)
CACHED = Gauge("inapp_edge_user_cache_entries", "Cached user states", multiprocess_mode="livesum")


class Era:
    """The time in which what was read of an org's customers holds. `over`: not any more; `void`: not even as the best
    there is while Redis is away."""

    __slots__ = ("over", "void")

    def __init__(self) -> None:
        self.over = self.void = False


class Entry:
    """A customer in memory. Whatever was made of one holds as long as its `version` stays and its era is not over.

    `encoded`: the state as Redis has it, empty for somebody who is not known; None once it made room for others, so
    that only `known`, what was found out with it, is left. `used` since it was last considered for eviction.
    """

    __slots__ = ("encoded", "era", "known", "known_bytes", "rev", "stale", "used", "version")

    def __init__(self, rev: int, encoded: bytes, era: Era) -> None:
        self.rev = rev
        self.encoded: bytes | None = encoded
        self.era = era
        self.known: Any = None
        self.known_bytes = 0
        self.stale = False
        self.used = False
        self.version = 0

    @property
    def is_fresh(self) -> bool:
        return not self.stale and not self.era.over

    def state(self) -> UserState:
        """Decoded anew each time. Raises DecodeError."""
        if self.encoded is None:
            raise DecodeError("the state is not in memory")
        return UserState.decode(self.encoded) if self.encoded else UserState()

    def copy(self) -> "Entry | None":
        """One that keeps its state whatever becomes of this one; None when it has none to keep."""
        return None if self.encoded is None or self.era.void else Entry(self.rev, self.encoded, self.era)

    def change(self) -> None:
        """What was made of it no longer holds."""
        self.version += 1
        self.known = None


@dataclass(slots=True)
class _Load:
    """`waiting`: each gets the answer, or None when there is none.

    `least_rev`, `again`: what was learnt since it was sent, so that an older answer is asked for once more.
    """

    waiting: "list[asyncio.Future[Entry | None]]" = field(default_factory=list)
    least_rev: int = 0
    again: bool = False
    reached: bool = True

    def answer(self) -> "asyncio.Future[Entry | None]":
        """Of its own for everybody who waits: one who is cancelled does not end the load of the others."""
        answer = asyncio.get_running_loop().create_future()
        self.waiting.append(answer)
        return answer

    def settle(self, entry: Entry | None) -> None:
        for answer in self.waiting:
            if not answer.done():
                answer.set_result(entry)


class Users:
    """`max_bytes`: past a part of that states go, past all of it customers, the longest unused first."""

    def __init__(self, redis: Redis, server: RedisServer, max_bytes: int) -> None:
        self._redis = redis
        self._server = server
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._with_state: OrderedDict[Key, Entry] = OrderedDict()
        self._bytes = 0
        self._states_bytes = 0
        self._eras: dict[UUID, Era] = {}
        self._loads: dict[Key, _Load] = {}
        self._queue: list[Key] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._retry_at_s = 0.0
        self._asked: set[Key] = set()

    def peek(self, key: Key) -> Entry | None:
        """The customer when they are in memory and nothing newer has been announced."""
        entry = self._entries.get(key)
        if entry is None or not entry.is_fresh:
            return None
        entry.used = True
        return entry

    async def get(self, org_id: UUID, subjects: Sequence[str]) -> list[Entry | None]:
        """Each of the subjects, with the state; None: it cannot be known now.

        With one that is not in memory all are read, so that they are of one moment: a claim changes two at once.
        """
        entries = [self.peek((org_id, subject)) for subject in subjects]
        if all(entry is not None and entry.encoded is not None for entry in entries):
            return entries
        waiting = [self._load((org_id, subject)).answer() for subject in subjects]
        return [await answer for answer in waiting]

    def announce(self, org_id: UUID, revs: Iterable[tuple[str, int]]) -> None:
        """Newer states are in Redis: an older one that is cached, or on its way, will not do."""
        for subject, rev in revs:
            key = (org_id, subject)
            entry = self._entries.get(key)
            if entry is not None and entry.rev < rev:
                self._outdate(entry)
            load = self._loads.get(key)
            if load is not None:
                load.least_rev = max(load.least_rev, rev)

    def change(self, key: Key) -> None:
        """What was found out about a customer no longer holds, although their state does."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.change()

    def remember(self, key: Key, known: object, known_bytes: int) -> None:
        """What was found out about a customer, until anything changes about them. `known_bytes`: past the usual."""
        entry = self._entries.get(key)
        if entry is not None:
            self._bytes += known_bytes - entry.known_bytes
            entry.known, entry.known_bytes = known, known_bytes
            self._shrink()

    def forget(self, org_id: UUID) -> None:
        """What was read of the org's customers until now lacks something, and will not do even while Redis is away."""
        self._end_era(org_id).void = True
        for key, load in self._loads.items():
            load.again |= key[0] == org_id

    def doubt_all(self) -> None:
        """Announcements may have been missed: nothing cached is served any more, unless Redis cannot be reached."""
        for org_id in list(self._eras):
            self._end_era(org_id)
        self._asked.clear()
        for load in self._loads.values():
            load.again = True

    def _end_era(self, org_id: UUID) -> Era:
        """At once for however many customers."""
        era = self._eras.pop(org_id, None) or Era()
        era.over = True
        return era

    def forget_asked(self) -> None:
        """From now on the recorder may be asked for the same unknown users again."""
        self._asked.clear()

    async def refresh(self, subjects: Iterable[Key]) -> bool:
        """Reads those that are cached, or being read, once more. False when Redis could not be reached."""
        loads = []
        for key in subjects:
            if (entry := self._entries.get(key)) is not None:
                self._outdate(entry)
            elif key not in self._loads:
                continue
            load = self._loads.get(key)
            if load is not None:
                load.again = True
            loads.append(load or self._load(key))
        for answer in [load.answer() for load in loads]:
            await answer
        return all(load.reached for load in loads)

    def _load(self, key: Key) -> _Load:
        load = self._loads.get(key)
        if load is None:
            load = self._loads[key] = _Load()
            self._enqueue(key)
        return load

    def _enqueue(self, key: Key) -> None:
        if not self._queue:
            asyncio.get_running_loop().call_soon(self._send)
        self._queue.append(key)

    def _send(self) -> None:
        batch, self._queue = self._queue, []
        for key in batch:
            self._loads[key].least_rev, self._loads[key].again = 0, False
        task = asyncio.create_task(self._read(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, batch: list[Key]) -> None:
        orgs = list({org_id for org_id, _ in batch})
        names = [keys.user(org_id, subject) for org_id, subject in batch] + [
            keys.user_states(org_id) for org_id in orgs
        ]
        if asyncio.get_running_loop().time() < self._retry_at_s:
            self._fail(batch)
            return
        try:
            values = await self._mget(names)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("user_states_not_read", reason=one_line(error), users=len(batch))
            self._retry_at_s = asyncio.get_running_loop().time() + _RETRY_AFTER_S
            self._fail(batch)
            return
        except BaseException:
            self._fail(batch)
            raise
        vouched = {
            org_id: self._server.vouches(value) for org_id, value in zip(orgs, values[len(batch) :], strict=True)
        }
        unknown = [
            key
            for key, value in zip(batch, values[: len(batch)], strict=True)
            if not self._settle(key, value, vouched[key[0]])
        ]
        await self._ask_for(unknown)

    async def _mget(self, names: list[str]) -> list[bytes | None]:
        async with asyncio.timeout(_LOAD_TIMEOUT_S):
            values: Any = await self._redis.mget(names)
            return list(values)

    def _settle(self, key: Key, value: bytes | None, vouched: bool) -> bool:
        """False when the user is not there although they may exist."""
        load = self._loads[key]
        rev = 0 if value is None and vouched else _rev(key, value)
        if load.again or (rev is not None and rev < load.least_rev):
            self._enqueue(key)
            return True
        LOADS.labels("unknown" if rev is None else "read").inc()
        del self._loads[key]
        load.settle(None if rev is None else self._keep(key, rev, value or b""))
        return rev is not None

    def _keep(self, key: Key, rev: int, encoded: bytes) -> Entry:
        """Caches the newer one of what was there and what was read; the answer is one that keeps its state."""
        before = self._entries.get(key)
        if before is not None and before.is_fresh and before.rev > rev and (copy := before.copy()):
            return copy
        self._remove(key)
        era = self._eras.setdefault(key[0], Era())
        self._entries[key] = self._with_state[key] = Entry(rev, encoded, era)
        self._bytes += _FIXED_BYTES
        self._count(len(encoded))
        self._shrink()
        return Entry(rev, encoded, era)

    def _shrink(self) -> None:
        while self._states_bytes > self._max_bytes // _STATES_SHARE:
            key, entry = self._longest_unused(self._with_state)
            del self._with_state[key]
            self._count(-len(entry.encoded or b""))
            entry.encoded = None
        while self._bytes > self._max_bytes:
            self._remove(self._longest_unused(self._entries)[0])
        self._show_size()

    @staticmethod
    def _longest_unused(entries: "OrderedDict[Key, Entry]") -> tuple[Key, Entry]:
        """Whoever was used since this was last asked is spared once, but not too many at a time."""
        for _ in range(_MOST_SPARED):
            key, entry = next(iter(entries.items()))
            if not entry.used:
                break
            entry.used = False
            entries.move_to_end(key)
        return next(iter(entries.items()))

    def _remove(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._with_state.pop(key, None)
            self._bytes -= _FIXED_BYTES + entry.known_bytes
            self._count(-len(entry.encoded or b""))
            entry.encoded = None
            entry.change()

    def _count(self, states_bytes: int) -> None:
        self._states_bytes += states_bytes
        self._bytes += states_bytes

    @staticmethod
    def _outdate(entry: Entry) -> None:
        entry.stale = True
        entry.change()

    def _show_size(self) -> None:
        CACHED.set(len(self._entries))
        CACHED_BYTES.set(self._bytes)

    def _fail(self, batch: list[Key]) -> None:
        """Redis is out of reach: what was true a while ago is the best there is."""
        LOADS.labels("failed").inc(len(batch))
        for key in batch:
            load = self._loads.pop(key)
            entry = self._entries.get(key)
            load.reached = False
            load.settle(entry.copy() if entry else None)

    async def _ask_for(self, unknown: list[Key]) -> None:
        """Has the recorder project those users first, each at most once until `forget_asked`."""
        wanted = [key for key in unknown if key not in self._asked]
        if not wanted:
            return
        self._asked.update(wanted)
        pipeline = self._redis.pipeline(transaction=False)
        for org_id, subject in wanted:
            fields = {"org": str(org_id), "subject": subject}
            pipeline.xadd(keys.WANTED, fields, maxlen=keys.WANTED_MAX_LENGTH, approximate=True)  # type: ignore[arg-type]
        try:
            await pipeline.execute()
        except (RedisError, OSError) as error:
            log.warning("wanted_not_sent", reason=one_line(error))


def _rev(key: Key, value: bytes | None) -> int | None:
    """None for a state that is not there, or cannot be read."""
    if value is None:
        return None
    try:
        return rev_of(value)
    except DecodeError as error:
        note_unreadable(key, error)
        return None


def note_unreadable(key: Key, error: DecodeError) -> None:
    LOADS.labels("unreadable").inc()
    log.error("user_state_unreadable", org=str(key[0]), reason=one_line(error))
