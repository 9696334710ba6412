"""The SQLite file of a spool, and the thread that works on it: whatever waits for the disk, and nothing else."""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar
from uuid import UUID, uuid4

import structlog

from edge.disk import InUseError, hold, sync_folder
from service.logs import one_line
from wire import codec

log = structlog.get_logger("edge")

T = TypeVar("T")


class SpoolError(Exception):
    """The spool cannot be used; the message says why."""


class SpoolFullError(SpoolError):
    """There is no room for these events; nothing of them was kept."""


class SpooledBatch(NamedTuple):
    """`accepted_ms`: when its newest event was accepted, by the edge's clock. `body`: an EventBatch, encoded."""

    number: int
    event_count: int
    accepted_ms: int
    body: bytes


@dataclass(slots=True)
class _Call:
    work: Callable[[sqlite3.Connection], Any]
    done: "asyncio.Future[Any]"


class SpoolFile:
    """`open` first. Methods are called on the event loop's thread; `broken` is done, with the reason, once it fails."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._lock: IO[str] | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self.id = UUID(int=0)
        self.next_number = 1

    async def open(self) -> list[SpooledBatch]:
        """Takes the file over and returns what it holds, in order. Raises SpoolError."""
        self._loop = asyncio.get_running_loop()
        self.broken: asyncio.Future[None] = self._loop.create_future()
        opened: asyncio.Future[list[SpooledBatch]] = self._loop.create_future()
        self._lock = await asyncio.to_thread(_take_lock, self._folder)
        self._thread = threading.Thread(target=self._run, args=(opened,), name="spool", daemon=True)
        self._thread.start()
        return await opened

    async def add(self, batch: SpooledBatch) -> None:
        """Returns once the batch is on disk. Raises SpoolError; SpoolFullError when the disk has no room for it."""
        if not await self.call(lambda connection: _add(connection, batch)):
            raise SpoolFullError("the disk is full")

    async def read(self, after: int, max_bytes: int) -> list[SpooledBatch]:
        """The batches numbered above `after`, in order; at least one if there are any, then up to `max_bytes`."""
        return await self.call(lambda connection: list(_up_to(_batches(connection, after), max_bytes)))

    async def remove(self, numbers: Sequence[int]) -> None:
        await self.call(lambda connection: _remove(connection, numbers))

    async def check_writable(self) -> None:
        """Raises SpoolError unless the file can be written to."""
        await self.call(_try_to_write)

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, done on the thread after all that was asked for before. Raises SpoolError."""
        if self._closed or self.broken.done():
            raise SpoolError("the spool is closed")
        call = _Call(work, self._loop.create_future())
        self._calls.put(call)
        return await asyncio.shield(call.done)

    async def close(self) -> None:
        """Does what was asked for, then lets go of the file."""
        self._closed = True
        self._calls.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        if self._lock is not None:
            self._lock.close()

    def _run(self, opened: "asyncio.Future[list[SpooledBatch]]") -> None:
        """The thread: one connection, work in order."""
        try:
            connection = _connect(self._folder / "spool.sqlite")
            self.id, self.next_number = _identity(connection)
            batches = list(_batches(connection, 0))
        except (sqlite3.Error, OSError, ValueError) as error:
            self._tell(_fail, opened, SpoolError(f"cannot open the spool in {self._folder}: {one_line(error)}"))
            return
        self._tell(_succeed, opened, batches)
        with contextlib.closing(connection):
            while (call := self._calls.get()) is not None:
                try:
                    self._tell(_succeed, call.done, call.work(connection))
                except (sqlite3.Error, OSError) as error:
                    log.error("spool_broken", reason=one_line(error))
                    self._tell(self._give_up, SpoolError(f"the spool is broken: {one_line(error)}"), call)
                    return

    def _give_up(self, reason: SpoolError, call: _Call) -> None:
        """A failed write is not tried again: a second fsync may lie about what the first one lost."""
        _fail(self.broken, reason)
        waiting: _Call | None = call
        with contextlib.suppress(queue.Empty):
            while waiting is not None:
                _fail(waiting.done, reason)
                waiting = self._calls.get_nowait()

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


def _add(connection: sqlite3.Connection, batch: SpooledBatch) -> bool:
    """One statement, which is a transaction of its own: the interpreter is needed once. False: the disk is full, and
    the transaction undone, which is as good as never begun."""
    try:
        connection.execute("INSERT INTO batches (number, event_count, accepted_ms, body) VALUES (?, ?, ?, ?)", batch)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        return False
    return True


def _remove(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    wanted = codec.to_json(list(numbers)).decode()
    connection.execute("DELETE FROM batches WHERE number IN (SELECT value FROM json_each(?))", (wanted,))


def _try_to_write(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ROLLBACK")


def _take_lock(folder: Path) -> IO[str]:
    try:
        return hold(folder / "spool.lock")
    except OSError as error:
        raise SpoolError(f"cannot keep a spool in {folder}: {error.strerror}") from error
    except InUseError:
        raise SpoolError(f"another process uses the spool in {folder}; give each edge its own INAPP_EDGE_DIR") from None


def _succeed(future: "asyncio.Future[Any]", result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[Any]", reason: Exception) -> None:
    if not future.done():
        future.set_exception(reason)
