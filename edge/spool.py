"""The spool: accepted events on this machine's disk until Postgres has them.

One SQLite file, owned by one process and one thread. Events that arrive within a few milliseconds share a commit, which
makes one EventBatch. Nothing is acknowledged before the commit has returned. After a failed write nothing is retried,
because a second fsync may lie about what the first one lost: the spool breaks, and the process has to end.
"""

import asyncio
import contextlib
import fcntl
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar
from uuid import UUID, uuid4

import structlog
from prometheus_client import Counter, Gauge

from edge.disk import sync_folder
from service.logs import one_line
from wire.events import Event, EventBatch

log = structlog.get_logger("edge")

T = TypeVar("T")

_GROUP_S = 0.002
_GROUP_BYTES = 1024 * 1024
_EVENT_BYTES = 256
"""What an event takes besides its properties and context, more or less."""

COMMITS = Counter("inapp_edge_spool_commits", "Group commits")
SPOOLED_BYTES = Gauge("inapp_edge_spooled_bytes", "Bytes of the batches in the spool, and of events on their way there")
SPOOLED_BATCHES = Gauge("inapp_edge_spooled_batches", "Batches in the spool")


class SpoolError(Exception):
    """The spool cannot be used; the message says why."""


class SpoolFullError(SpoolError):
    """There is no room for these events; nothing of them was kept."""


class SpooledBatch(NamedTuple):
    """`accepted_ms`: when its newest event was accepted, by the edge's clock."""

    number: int
    event_count: int
    accepted_ms: int
    body: bytes


@dataclass(slots=True)
class _Append:
    events: Sequence[Event]
    size_bytes: int
    done: "asyncio.Future[None]"


@dataclass(slots=True)
class _Call:
    work: Callable[[sqlite3.Connection], Any]
    done: "asyncio.Future[Any]"


@dataclass(slots=True)
class _Idle:
    """Nothing came in time."""


_Work = _Append | _Call | _Idle | None
"""None ends the thread."""

Committed = Callable[[EventBatch], None]


class Spool:
    """`open` first. Methods are called on the event loop's thread; `broken` is done, with the reason, once it fails.

    `on_commit` is called on the loop after a batch is on disk and before anyone is told that it is.
    """

    def __init__(self, folder: Path, max_bytes: int, on_commit: Committed) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._on_commit = on_commit
        self._work: queue.SimpleQueue[_Work] = queue.SimpleQueue()
        self._bytes = 0
        self._lock: IO[str] | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._next_number = 1
        self.id = UUID(int=0)

    async def open(self) -> list[SpooledBatch]:
        """Takes the file over and returns what it holds, in order. Raises SpoolError."""
        self._loop = asyncio.get_running_loop()
        self.broken: asyncio.Future[None] = self._loop.create_future()
        opened: asyncio.Future[list[SpooledBatch]] = self._loop.create_future()
        self._lock = await asyncio.to_thread(_take_lock, self._folder)
        self._thread = threading.Thread(target=self._run, args=(opened,), name="spool", daemon=True)
        self._thread.start()
        batches = await opened
        self._bytes = sum(len(batch.body) for batch in batches)
        SPOOLED_BYTES.set(self._bytes)
        SPOOLED_BATCHES.set(len(batches))
        return batches

    async def append(self, events: Sequence[Event]) -> None:
        """Returns once the events, of which there is at least one, are on disk. Raises SpoolFullError, SpoolError."""
        if self._closed or self.broken.done():
            raise SpoolError("the spool is closed")
        size_bytes = sum(_EVENT_BYTES + len(event.properties) + len(event.context) for event in events)
        if self._bytes + size_bytes > self._max_bytes:
            raise SpoolFullError(f"the spool holds {self._bytes} of {self._max_bytes} bytes")
        self._count(size_bytes)
        append = _Append(events, size_bytes, self._loop.create_future())
        self._work.put(append)
        await asyncio.shield(append.done)

    async def read(self, after: int, max_bytes: int) -> list[SpooledBatch]:
        """The batches numbered above `after`, in order; at least one if there are any, then up to `max_bytes`."""
        return await self._call(lambda connection: list(_up_to(_batches(connection, after), max_bytes)))

    async def remove(self, numbers: Iterable[int]) -> None:
        """The batches are safe elsewhere."""
        wanted = list(numbers)
        removed_bytes, left = await self._call(lambda connection: _remove(connection, wanted))
        self._count(-removed_bytes)
        SPOOLED_BATCHES.set(left)

    async def check_writable(self) -> None:
        """Raises SpoolError unless the spool works."""
        await self._call(_try_to_write)

    @property
    def bytes(self) -> int:
        return self._bytes

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    async def close(self) -> None:
        """Commits what is on its way, then lets go of the file."""
        self._closed = True
        self._work.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        if self._lock is not None:
            self._lock.close()

    async def _call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed or self.broken.done():
            raise SpoolError("the spool is closed")
        call = _Call(work, self._loop.create_future())
        self._work.put(call)
        return await asyncio.shield(call.done)

    def _count(self, change_bytes: int) -> None:
        self._bytes += change_bytes
        SPOOLED_BYTES.set(self._bytes)

    def _run(self, opened: "asyncio.Future[list[SpooledBatch]]") -> None:
        """The thread: one connection, work in order, appends that wait together committed together."""
        try:
            connection = _connect(self._folder / "spool.sqlite")
            self.id, self._next_number = _identity(connection)
            batches = list(_batches(connection, 0))
        except (sqlite3.Error, OSError, ValueError) as error:
            self._tell(_fail, opened, SpoolError(f"cannot open the spool in {self._folder}: {one_line(error)}"))
            return
        self._tell(_succeed, opened, batches)
        with contextlib.closing(connection):
            while self._step(connection):
                pass

    def _step(self, connection: sqlite3.Connection) -> bool:
        """Does what waits. False when there will be nothing more."""
        appends, item = self._group(self._work.get())
        try:
            if appends:
                self._commit(connection, appends)
            if isinstance(item, _Call):
                self._tell(_succeed, item.done, item.work(connection))
        except (sqlite3.Error, OSError) as error:
            self._break([*appends, *([item] if isinstance(item, _Call) else [])], error)
            return False
        return item is not None

    def _group(self, item: _Work) -> tuple[list[_Append], _Work]:
        """The appends of the next few milliseconds, and what came after them."""
        appends: list[_Append] = []
        size_bytes = 0
        deadline_s = time.monotonic() + _GROUP_S
        while isinstance(item, _Append):
            appends.append(item)
            size_bytes += item.size_bytes
            if size_bytes >= _GROUP_BYTES:
                return appends, _Idle()
            try:
                item = self._work.get(timeout=max(deadline_s - time.monotonic(), 0))
            except queue.Empty:
                return appends, _Idle()
        return appends, item

    def _commit(self, connection: sqlite3.Connection, appends: list[_Append]) -> None:
        events = tuple(event for append in appends for event in append.events)
        batch = EventBatch(self.id, self._next_number, events)
        body = batch.encode()
        accepted_ms = max(event.received_ms for event in events)
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(
                    "INSERT INTO batches (number, event_count, accepted_ms, body) VALUES (?, ?, ?, ?)",
                    (batch.number, len(events), accepted_ms, body),
                )
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            self._tell(self._refuse, appends)
            return
        self._next_number += 1
        self._tell(self._acknowledge, batch, len(body), appends)

    def _acknowledge(self, batch: EventBatch, body_bytes: int, appends: list[_Append]) -> None:
        COMMITS.inc()
        SPOOLED_BATCHES.inc()
        self._count(body_bytes - sum(append.size_bytes for append in appends))
        self._on_commit(batch)
        for append in appends:
            _succeed(append.done, None)

    def _refuse(self, appends: list[_Append]) -> None:
        """The disk has no room. The transaction is undone, which is as good as never begun."""
        for append in appends:
            self._count(-append.size_bytes)
            _fail(append.done, SpoolFullError("the disk is full"))

    def _break(self, waiting: list[_Append | _Call], error: Exception) -> None:
        log.error("spool_broken", reason=one_line(error))
        self._tell(self._give_up, SpoolError(f"the spool is broken: {one_line(error)}"), waiting)

    def _give_up(self, reason: SpoolError, waiting: list[_Append | _Call]) -> None:
        _fail(self.broken, reason)
        with contextlib.suppress(queue.Empty):
            while isinstance(late := self._work.get_nowait(), _Append | _Call):
                waiting.append(late)
        for waiter in waiting:
            _fail(waiter.done, reason)

    def _tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(callback, *arguments)


def _connect(path: Path) -> sqlite3.Connection:
    is_new = not path.exists()
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "fullfsync=ON", "checkpoint_fullfsync=ON"):
        connection.execute(f"PRAGMA {pragma}")
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE IF NOT EXISTS spool (id BLOB NOT NULL)")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS batches (number INTEGER PRIMARY KEY AUTOINCREMENT,"
            " event_count INTEGER NOT NULL, accepted_ms INTEGER NOT NULL, body BLOB NOT NULL)"
        )
        connection.execute("INSERT INTO spool SELECT ? WHERE NOT EXISTS (SELECT 1 FROM spool)", (uuid4().bytes,))
    if is_new:
        sync_folder(path.parent)
    return connection


def _identity(connection: sqlite3.Connection) -> tuple[UUID, int]:
    """The spool's id, and the number of its next batch: one that no batch, however long gone, has had."""
    (spool_id,) = connection.execute("SELECT id FROM spool").fetchone()
    (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'batches'").fetchone()
    return UUID(bytes=spool_id), last + 1


def _batches(connection: sqlite3.Connection, after: int) -> Iterator[SpooledBatch]:
    rows = connection.execute(
        "SELECT number, event_count, accepted_ms, body FROM batches WHERE number > ? ORDER BY number", (after,)
    )
    return map(SpooledBatch._make, rows)


def _up_to(batches: Iterator[SpooledBatch], max_bytes: int) -> Iterator[SpooledBatch]:
    size_bytes = 0
    for batch in batches:
        yield batch
        size_bytes += len(batch.body)
        if size_bytes >= max_bytes:
            return


def _remove(connection: sqlite3.Connection, numbers: Sequence[int]) -> tuple[int, int]:
    """(bytes removed, batches left)"""
    removed_bytes = 0
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for number in numbers:
            row = connection.execute(
                "DELETE FROM batches WHERE number = ? RETURNING length(body)", (number,)
            ).fetchone()
            removed_bytes += row[0] if row else 0
    (left,) = connection.execute("SELECT count(*) FROM batches").fetchone()
    return removed_bytes, left


def _try_to_write(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ROLLBACK")


def _take_lock(folder: Path) -> IO[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "spool.lock").open("a")
    except OSError as error:
        raise SpoolError(f"cannot keep a spool in {folder}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise SpoolError(f"another process uses the spool in {folder}; give each edge its own INAPP_EDGE_DIR") from None
    return lock


def _succeed(future: "asyncio.Future[Any]", result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[Any]", reason: Exception) -> None:
    if not future.done():
        future.set_exception(reason)
