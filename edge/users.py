"""User states in memory, as Redis has them, bounded in bytes. Misses of one turn of the loop go out as one MGET."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge
from redis.asyncio import Redis
from redis.exceptions import RedisError

from edge.era import Era
from edge.redis_server import RedisServer
from service.logs import one_line
from wire import keys
from wire.codec import DecodeError
from wire.userstate import UserState, rev_of

log = structlog.get_logger("edge")

T = TypeVar("T")

Key = tuple[UUID, str]
"""(org, subject)."""

_LOAD_TIMEOUT_S = 1.0
_RETRY_AFTER_S = 0.25
_SETTLED_AT_ONCE = 100
"""Then others get their turn. Some 100 µs each, where much is made of them; a few at a time would take longer, and then
fewer come together the next time."""
_FIXED_BYTES = 800
"""What a customer takes besides the encoded state: the names, the entry, and what was found out about them."""
_MOST_SPARED = 32
_STATES_SHARE = 8
"""Encoded states take up to this part of the bytes, however few customers there are: memory that large pieces once took
is of little use to others."""

LOADS = Counter("inapp_edge_user_loads", "User states asked of Redis", ["outcome"])
_READ, _UNKNOWN, _FAILED, _UNREADABLE = map(LOADS.labels, ("read", "unknown", "failed", "unreadable"))
CACHED_BYTES = Gauge(
    "inapp_edge_user_cache_bytes", "Estimated bytes of the cached user states", multiprocess_mode="livesum"
)
CACHED = Gauge("inapp_edge_user_cache_entries", "Cached user states", multiprocess_mode="livesum")


class Entry:
    """A customer in memory. Whatever was made of one holds as long as its `version` stays and its era is not over.

    `encoded`: the state as Redis has it, empty for somebody who is not known; None once it made room for others, so
    that only `known`, what was found out with it, is left. `known` outlives changes, to be compared with what is found
    out after them. `used` since it was last considered for eviction.
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
        """What was made of it has to be found out anew."""
        self.version += 1


class _Wait(Generic[T]):
    """For several states. `made`: what `then` makes of them as soon as the last is there."""

    __slots__ = ("_entries", "_missing", "_then", "made")

    def __init__(self, loads: "Sequence[_Load]", then: "Callable[[list[Entry | None]], T]") -> None:
        self._entries: list[Entry | None] = [None] * len(loads)
        self._missing = len(loads)
        self._then = then
        self.made: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        for place, load in enumerate(loads):
            load.waiting.append((self, place))

    def take(self, place: int, entry: Entry | None) -> None:
        self._entries[place] = entry
        self._missing -= 1
        if self._missing or self.made.done():
            return
        try:
            self.made.set_result(self._then(self._entries))
        except Exception as error:
            self.made.set_exception(error)


class _Load:
    """One state that is being read. `waiting`: by whom, and as which of their states. Who is cancelled does not end it.

    `least_rev`, `again`: what was learnt since it was sent, so that an older answer is asked for once more.
    """

    __slots__ = ("again", "key", "least_rev", "reached", "waiting")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.waiting: list[tuple[_Wait[Any], int]] = []
        self.least_rev = 0
        self.again = False
        self.reached = True

    def settle(self, entry: Entry | None) -> None:
        """None: it cannot be known now."""
        for wait, place in self.waiting:
            wait.take(place, entry)


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
        self._queue: list[_Load] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._retry_at_s = 0.0
        self._asked: set[Key] = set()

    def count_size(self) -> None:
        """Brings the metrics up to date."""
        CACHED.set(len(self._entries))
        CACHED_BYTES.set(self._bytes)

    def peek(self, key: Key) -> Entry | None:
        """The customer when they are in memory and nothing newer has been announced."""
        entry = self._entries.get(key)
        if entry is None or not entry.is_fresh:
            return None
        entry.used = True
        return entry

    async def ask(self, org_id: UUID, subjects: Sequence[str], then: Callable[[list[Entry | None]], T]) -> T:
        """What `then` makes of each of the subjects, with the state; None: it cannot be known now.

        With one that is not in memory all are read, mostly in one MGET: a claim changes two at once. Where one of them
        was on its way already, they may be of two moments for this once.
        `then` is called as soon as they are there, for all of a batch one after the other: what it looks things up in
        is in the processor's caches from the second on.
        """
        wanted = [(org_id, subject) for subject in subjects]
        entries = list(map(self.peek, wanted))
        for entry in entries:
            if entry is None or entry.encoded is None:
                return await _Wait(list(map(self._load, wanted)), then).made
        return then(entries)

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
        """What was found out about a customer has to be found out anew, although their state holds."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.change()

    def remember(self, key: Key, known: object, known_bytes: int) -> None:
        """Keeps what was found out about a customer, as long as they are in memory. `known_bytes`: beyond the usual."""
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
        """Reads those that are cached, or being read, once more. False when Redis could not be reached.

        Until then what is cached will not do: of a user and the visitor whom they have claimed, one is not to be had
        from before and the other from after.
        """
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
        if loads:
            await _Wait(loads, len).made
        return all(load.reached for load in loads)

    def _load(self, key: Key) -> _Load:
        load = self._loads.get(key)
        if load is None:
            load = self._loads[key] = _Load(key)
            self._enqueue(load)
        return load

    def _enqueue(self, load: _Load) -> None:
        if not self._queue:
            asyncio.get_running_loop().call_soon(self._send)
        self._queue.append(load)

    def _send(self) -> None:
        batch, self._queue = self._queue, []
        for load in batch:
            load.least_rev, load.again = 0, False
        task = asyncio.create_task(self._read(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, batch: list[_Load]) -> None:
        org_ids = list({load.key[0] for load in batch})
        of_users = {org_id: keys.user(org_id, "") for org_id in org_ids}
        names = [of_users[org_id] + subject for org_id, subject in (load.key for load in batch)]
        names += map(keys.user_states, org_ids)
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
        markers = zip(org_ids, values[len(batch) :], strict=True)
        vouched = {org_id for org_id, marker in markers if self._server.vouches(marker)}
        unknown = []
        for first in range(0, len(batch), _SETTLED_AT_ONCE):
            if first:
                await asyncio.sleep(0)
            unknown += self._settle(batch[first : first + _SETTLED_AT_ONCE], values[first:], vouched)
        await self._ask_for(unknown)

    async def _mget(self, names: list[str]) -> list[bytes | None]:
        async with asyncio.timeout(_LOAD_TIMEOUT_S):
            values: Any = await self._redis.mget(names)
            return list(values)

    def _settle(self, batch: list[_Load], values: Iterable[bytes | None], vouched: set[UUID]) -> list[Key]:
        """Those who are not there although they may exist."""
        unknown, read = [], 0
        for load, value in zip(batch, values, strict=False):
            key = load.key
            rev = 0 if value is None and key[0] in vouched else _rev(key, value)
            if load.again or (rev is not None and rev < load.least_rev):
                self._enqueue(load)
                continue
            del self._loads[key]
            if rev is None:
                unknown.append(key)
                load.settle(None)
            else:
                read += 1
                load.settle(self._keep(key, rev, value or b""))
        _READ.inc(read)
        _UNKNOWN.inc(len(unknown))
        return unknown

    def _keep(self, key: Key, rev: int, encoded: bytes) -> Entry:
        """Caches the newer one of what was there and what was read; the answer is one that keeps its state."""
        before = self._entries.get(key)
        if before is not None and before.is_fresh and before.rev > rev and (copy := before.copy()):
            return copy
        era = self._eras.get(key[0])
        if era is None:
            era = self._eras[key[0]] = Era()
        entry = Entry(rev, encoded, era)
        if before is not None:
            entry.known, entry.known_bytes = before.known, before.known_bytes
            self._remove(key)
        self._entries[key] = self._with_state[key] = entry
        self._bytes += _FIXED_BYTES + entry.known_bytes
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

    @staticmethod
    def _longest_unused(entries: "OrderedDict[Key, Entry]") -> tuple[Key, Entry]:
        """Whoever was used since this was last asked is spared once, but not too many at a time."""
        for _ in range(_MOST_SPARED):
            key, entry = found = next(iter(entries.items()))
            if not entry.used:
                return found
            entry.used = False
            entries.move_to_end(key)
        return next(iter(entries.items()))

    def _remove(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._with_state.pop(key, None)
            self._bytes -= _FIXED_BYTES + entry.known_bytes
            self._count(-len(entry.encoded or b""))
            entry.encoded = entry.known = None
            entry.change()

    def _count(self, states_bytes: int) -> None:
        self._states_bytes += states_bytes
        self._bytes += states_bytes

    @staticmethod
    def _outdate(entry: Entry) -> None:
        entry.stale = True
        entry.change()

    def _fail(self, batch: list[_Load]) -> None:
        """Redis is out of reach: what was true a while ago is the best there is."""
        _FAILED.inc(len(batch))
        for load in batch:
            del self._loads[load.key]
            entry = self._entries.get(load.key)
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
    _UNREADABLE.inc()
    log.error("user_state_unreadable", org=str(key[0]), reason=one_line(error))
