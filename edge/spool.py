"""The spool: accepted events on this machine's disk until Postgres has them.

One SQLite file, owned by one process. Events that arrive within a few milliseconds share a commit, which makes one
EventBatch. Nothing is acknowledged before the commit has returned. After a failed write nothing is retried: the spool
breaks, and the process has to end.

Batches are put together on the event loop, of events that were encoded as they came, and the thread of the file has
only the disk to wait for: a thread that computes makes the loop wait for the interpreter, milliseconds at a time.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from prometheus_client import Counter, Gauge

from edge.slices import in_slices
from edge.spool_file import SpooledBatch, SpoolError, SpoolFile, SpoolFullError
from engine.steps import Steps
from service.logs import one_line
from wire import events as wire_events
from wire.events import Event, EventBatch

_GROUP_S: Final = 0.002
_GROUP_BYTES: Final = 256 * 1024
_TOLD_AT_ONCE: Final = 8
"""Requests that are acknowledged in one turn of the loop: each of them wakes a task that answers."""

COMMITS = Counter("inapp_edge_spool_commits", "Group commits")
SPOOLED_BYTES = Gauge(
    "inapp_edge_spooled_bytes",
    "Bytes of the batches in the spool, and of events on their way there",
    multiprocess_mode="livesum",
)
SPOOLED_BATCHES = Gauge("inapp_edge_spooled_batches", "Batches in the spool", multiprocess_mode="livesum")


@dataclass(frozen=True, slots=True)
class Committed(EventBatch):
    """A batch that has just come to be on disk. `body`: it, encoded."""

    body: bytes
    accepted_ms: int

    @property
    def stored(self) -> SpooledBatch:
        return SpooledBatch(self.number, len(self.events), self.accepted_ms, self.body)


OnCommit = Callable[[Committed], Steps[None] | None]


@dataclass(slots=True)
class _Append:
    events: Sequence[Event]
    packed: bytes
    came_s: float
    done: "asyncio.Future[None]"


class Spool:
    """`open` first. Everything is called on the event loop's thread; `broken` is done, with the reason, once it fails.

    `on_commit` is called after a batch is on disk, and the steps that it returns, if any, are made, before anyone is
    told that it is.
    """

    def __init__(self, folder: Path, max_bytes: int, on_commit: OnCommit) -> None:
        self._file = SpoolFile(folder)
        self._max_bytes = max_bytes
        self._on_commit = on_commit
        self._sizes: dict[int, int] = {}
        self._bytes = 0
        self._waiting: list[_Append] = []
        self._came = asyncio.Event()
        self._committing: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> list[SpooledBatch]:
        """Takes the file over and returns what it holds, in order. Raises SpoolError."""
        batches = await self._file.open()
        self._sizes = {batch.number: len(batch.body) for batch in batches}
        self._bytes = sum(self._sizes.values())
        self._next_number = self._file.next_number
        self._show_size()
        self._committing = asyncio.create_task(self._commit_all())
        self._committing.add_done_callback(self._ended)
        return batches

    async def append(self, events: Sequence[Event]) -> None:
        """Returns once the events, of which there is at least one, are on disk. Raises SpoolFullError, SpoolError."""
        if self._closed or self.broken.done():
            raise SpoolError("the spool is closed")
        packed = wire_events.packed(events)
        if self._bytes + len(packed) > self._max_bytes:
            raise SpoolFullError(f"the spool holds {self._bytes} of {self._max_bytes} bytes")
        self._bytes += len(packed)
        append = _Append(events, packed, time.monotonic(), asyncio.get_running_loop().create_future())
        self._waiting.append(append)
        self._came.set()
        await append.done

    async def read(self, after: int, max_bytes: int) -> list[SpooledBatch]:
        """The batches numbered above `after`, in order; at least one if there are any, then up to `max_bytes`."""
        return await self._file.read(after, max_bytes)

    async def remove(self, numbers: Iterable[int]) -> None:
        """The batches are safe elsewhere."""
        wanted = [number for number in numbers if number in self._sizes]
        if wanted:
            await self._file.remove(wanted)
        self._bytes -= sum(self._sizes.pop(number, 0) for number in wanted)
        self._show_size()

    async def check_writable(self) -> None:
        """Raises SpoolError unless the spool works."""
        await self._file.check_writable()

    @property
    def id(self) -> UUID:
        return self._file.id

    @property
    def broken(self) -> "asyncio.Future[None]":
        return self._file.broken

    @property
    def bytes(self) -> int:
        return self._bytes

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    async def close(self) -> None:
        """Commits what is on its way, then lets go of the file."""
        self._closed = True
        self._came.set()
        if self._committing is not None:
            await asyncio.wait([self._committing])
        await self._file.close()

    async def _commit_all(self) -> None:
        """One batch after the other, each of what came within a few milliseconds, or while the one before was made."""
        while await self._more():
            appends = self._next_group()
            try:
                await self._commit(appends)
            except SpoolError as error:
                self._refuse(appends, error)
            except BaseException:
                self._refuse(appends, SpoolError("the spool is broken"))
                raise

    async def _more(self) -> bool:
        """Waits until the next batch is to be made. False: there will be none."""
        while not self._waiting:
            if self._closed:
                return False
            self._came.clear()
            await self._came.wait()
        await asyncio.sleep(max(self._waiting[0].came_s + _GROUP_S - time.monotonic(), 0))
        return True

    def _next_group(self) -> list[_Append]:
        size_bytes = count = 0
        while count < len(self._waiting) and size_bytes < _GROUP_BYTES:
            size_bytes += len(self._waiting[count].packed)
            count += 1
        appends, self._waiting = self._waiting[:count], self._waiting[count:]
        return appends

    async def _commit(self, appends: Sequence[_Append]) -> None:
        events = tuple([event for append in appends for event in append.events])
        body = wire_events.batch_body(self.id, self._next_number, len(events), [append.packed for append in appends])
        accepted_ms = max([event.received_ms for event in events])
        batch = Committed(self.id, self._next_number, events, body, accepted_ms)
        await self._file.add(batch.stored)
        self._next_number += 1
        self._sizes[batch.number] = len(body)
        self._bytes += len(body) - sum([len(append.packed) for append in appends])
        COMMITS.inc()
        self._show_size()
        steps = self._on_commit(batch)
        if steps is not None:
            await in_slices(steps)
        await _tell(appends)

    def _refuse(self, appends: Iterable[_Append], reason: SpoolError) -> None:
        for append in appends:
            self._bytes -= len(append.packed)
            if not append.done.done():
                append.done.set_exception(reason)
        self._show_size()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Nobody may wait for a commit that never comes."""
        error = None if task.cancelled() else task.exception()
        reason = SpoolError("the spool is closed" if error is None else f"the spool is broken: {one_line(error)}")
        if error is not None and not self.broken.done():
            self.broken.set_exception(reason)
        self._refuse(self._waiting, reason)

    def _show_size(self) -> None:
        SPOOLED_BYTES.set(self._bytes)
        SPOOLED_BATCHES.set(len(self._sizes))


async def _tell(appends: Sequence[_Append]) -> None:
    for place, append in enumerate(appends, 1):
        if not append.done.done():
            append.done.set_result(None)
        if place % _TOLD_AT_ONCE == 0:
            await asyncio.sleep(0)
