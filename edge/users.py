"""User states in memory, bounded in bytes. Misses of one turn of the loop go out as one MGET."""

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
from wire.userstate import UserState

log = structlog.get_logger("edge")

Key = tuple[UUID, str]
"""(org, subject)."""

_LOAD_TIMEOUT_S = 1.0
_RETRY_AFTER_S = 0.25
_FIXED_BYTES = 1_000
_BYTES_PER_ENCODED = 6
"""A decoded state takes about this many times its encoded bytes, plus the fixed part."""

LOADS = Counter("inapp_edge_user_loads", "User states asked of Redis", ["outcome"])
CACHED_BYTES = Gauge("inapp_edge_user_cache_bytes", "Estimated bytes of the cached user states")
CACHED = Gauge("inapp_edge_user_cache_entries", "Cached user states")


@dataclass(slots=True)
class _Entry:
    state: UserState
    size_bytes: int
    round: int
    stale: bool = False


@dataclass(slots=True)
class _Load:
    """`least_rev`, `again`: what was learnt since it was sent, so that an older answer is asked for once more."""

    answer: "asyncio.Future[UserState | None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    least_rev: int = 0
    again: bool = False
    reached: bool = True


class Users:
    def __init__(self, redis: Redis, server: RedisServer, max_bytes: int) -> None:
        self._redis = redis
        self._server = server
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._bytes = 0
        self._loads: dict[Key, _Load] = {}
        self._queue: list[Key] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._round = 0
        self._retry_at_s = 0.0
        self._asked: set[Key] = set()

    def peek(self, key: Key) -> UserState | None:
        """The state when it is in memory and nothing newer has been announced."""
        entry = self._entries.get(key)
        if entry is None or entry.stale or entry.round != self._round:
            return None
        self._entries.move_to_end(key)
        return entry.state

    async def get(self, org_id: UUID, subjects: Sequence[str]) -> list[UserState | None]:
        """The state of each subject; None: it cannot be known now.

        With one that is not in memory all are read, so that they are of one moment: a claim changes two at once.
        """
        states = [self.peek((org_id, subject)) for subject in subjects]
        if None not in states:
            return states
        waiting = [self._load((org_id, subject)).answer for subject in subjects]
        return [await asyncio.shield(answer) for answer in waiting]

    def announce(self, org_id: UUID, revs: Iterable[tuple[str, int]]) -> None:
        """Newer states are in Redis: an older one that is cached, or on its way, will not do."""
        for subject, rev in revs:
            key = (org_id, subject)
            entry = self._entries.get(key)
            if entry is not None and entry.state.rev < rev:
                entry.stale = True
            load = self._loads.get(key)
            if load is not None:
                load.least_rev = max(load.least_rev, rev)

    def forget(self, org_id: UUID) -> None:
        """What was read of the org's customers until now lacks something, and will not do even while Redis is away."""
        for key in [key for key in self._entries if key[0] == org_id]:
            self._bytes -= self._entries.pop(key).size_bytes
        for key, load in self._loads.items():
            load.again |= key[0] == org_id
        self._show_size()

    def doubt_all(self) -> None:
        """Announcements may have been missed: nothing cached is served any more, unless Redis cannot be reached."""
        self._round += 1
        self._asked.clear()
        for load in self._loads.values():
            load.again = True

    def forget_asked(self) -> None:
        """From now on the recorder may be asked for the same unknown users again."""
        self._asked.clear()

    async def refresh(self, subjects: Iterable[Key]) -> bool:
        """Reads those that are cached, or being read, once more. False when Redis could not be reached."""
        loads = []
        for key in subjects:
            if (entry := self._entries.get(key)) is not None:
                entry.stale = True
            elif key not in self._loads:
                continue
            load = self._loads.get(key)
            if load is not None:
                load.again = True
            loads.append(load or self._load(key))
        for load in loads:
            await asyncio.shield(load.answer)
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
        sent_round = self._round
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
            if not self._settle(key, value, sent_round, vouched[key[0]])
        ]
        await self._ask_for(unknown)

    async def _mget(self, names: list[str]) -> list[bytes | None]:
        async with asyncio.timeout(_LOAD_TIMEOUT_S):
            values: Any = await self._redis.mget(names)
            return list(values)

    def _settle(self, key: Key, value: bytes | None, sent_round: int, vouched: bool) -> bool:
        """False when the user is not there although they may exist."""
        load = self._loads[key]
        state = UserState() if value is None and vouched else _decode(key, value)
        if load.again or (state is not None and state.rev < load.least_rev):
            self._enqueue(key)
            return True
        if state is not None:
            state = self._keep(key, state, len(value or b""), sent_round)
        LOADS.labels("unknown" if state is None else "read").inc()
        del self._loads[key]
        load.answer.set_result(state)
        return state is not None

    def _keep(self, key: Key, state: UserState, encoded_bytes: int, sent_round: int) -> UserState:
        """Caches the newer one of what was there and what was read."""
        before = self._entries.pop(key, None)
        if before is not None:
            self._bytes -= before.size_bytes
            if before.round == sent_round and before.state.rev > state.rev:
                state = before.state
        entry = _Entry(state, _FIXED_BYTES + _BYTES_PER_ENCODED * encoded_bytes, sent_round)
        self._entries[key] = entry
        self._bytes += entry.size_bytes
        while self._bytes > self._max_bytes:
            self._bytes -= self._entries.popitem(last=False)[1].size_bytes
        self._show_size()
        return state

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
            load.answer.set_result(None if entry is None else entry.state)

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


def _decode(key: Key, value: bytes | None) -> UserState | None:
    if value is None:
        return None
    try:
        state = UserState.decode(value)
        if not isinstance(state.rev, int):
            raise DecodeError("rev is not a number")
        return state
    except DecodeError as error:
        LOADS.labels("unreadable").inc()
        log.error("user_state_unreadable", org=str(key[0]), reason=one_line(error))
        return None
