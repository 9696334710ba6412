"""What is acknowledged is on disk, in order and whole; what cannot be stored is not acknowledged."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.spool import Committed, OnCommit, Spool
from edge.spool_file import SpooledBatch, SpoolError, SpoolFullError
from engine.steps import Steps
from tests.support.spooling import event
from wire.events import EventBatch

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def spool_in(
    folder: Path, *, max_bytes: int = 1_000_000, on_commit: OnCommit = lambda batch: None
) -> AsyncIterator[tuple[Spool, list[SpooledBatch]]]:
    spool = Spool(folder, max_bytes, on_commit)
    stored = await spool.open()
    try:
        yield spool, stored
    finally:
        await spool.close()


async def test_what_was_appended_is_there_after_a_restart(tmp_path: Path) -> None:
    first, second = event("first"), event("second")
    async with spool_in(tmp_path) as (spool, stored):
        assert stored == []
        await spool.append([first])
        await spool.append([second])
        spool_id = spool.id
    async with spool_in(tmp_path) as (spool, stored):
        assert spool.id == spool_id
        assert [EventBatch.decode(batch.body) for batch in stored] == [
            EventBatch(spool_id, 1, (first,)),
            EventBatch(spool_id, 2, (second,)),
        ]
        assert spool.bytes == sum(len(batch.body) for batch in stored)


async def test_each_spool_has_an_id_of_its_own(tmp_path: Path) -> None:
    async with spool_in(tmp_path / "a") as (one, _), spool_in(tmp_path / "b") as (other, _):
        assert one.id != other.id


async def test_events_that_arrive_together_make_one_batch(tmp_path: Path) -> None:
    batches: list[EventBatch] = []
    async with spool_in(tmp_path, on_commit=batches.append) as (spool, _):
        await asyncio.gather(*(spool.append([event(f"e{number}")]) for number in range(20)))
    assert [each.type for batch in batches for each in batch.events] == [f"e{number}" for number in range(20)]
    assert len(batches) < 5


async def test_the_batch_is_handed_on_before_anyone_is_told(tmp_path: Path) -> None:
    batches: list[EventBatch] = []
    async with spool_in(tmp_path, on_commit=batches.append) as (spool, _):
        await spool.append([event()])
        assert len(batches) == 1


async def test_the_steps_that_the_hand_over_takes_are_made_before_anyone_is_told(tmp_path: Path) -> None:
    made: list[int] = []

    def steps(batch: EventBatch) -> Steps[None]:
        for number in range(1_000):
            made.append(number)
            yield

    async with spool_in(tmp_path, on_commit=steps) as (spool, _):
        await spool.append([event()])
        assert len(made) == 1_000


async def test_the_batch_that_is_handed_on_is_the_one_on_disk(tmp_path: Path) -> None:
    batches: list[Committed] = []
    async with spool_in(tmp_path, on_commit=batches.append) as (spool, _):
        await asyncio.gather(spool.append([event(received_ms=7), event()]), spool.append([event(received_ms=9)]))
        assert [batch.stored for batch in batches] == await spool.read(0, 1_000_000)
        assert (batches[0].accepted_ms, batches[0].encode()) == (9, batches[0].body)


async def test_what_comes_while_a_batch_is_made_is_in_the_next(tmp_path: Path) -> None:
    batches: list[EventBatch] = []
    late: list[asyncio.Task[None]] = []

    def on_commit(batch: EventBatch) -> None:
        batches.append(batch)
        if batch.number == 1:
            late.extend(asyncio.create_task(spool.append([event(f"late{number}")])) for number in range(20))

    async with spool_in(tmp_path, on_commit=on_commit) as (spool, _):
        await spool.append([event("first")])
        await asyncio.gather(*late)
    assert [each.type for batch in batches for each in batch.events][1:] == [f"late{number}" for number in range(20)]
    assert len(batches) == 2


async def test_a_large_group_is_several_batches(tmp_path: Path) -> None:
    batches: list[EventBatch] = []
    big = [event(properties=b'"' + b"x" * 30_000 + b'"') for _ in range(5)]
    async with spool_in(tmp_path, max_bytes=10_000_000, on_commit=batches.append) as (spool, _):
        await asyncio.gather(*(spool.append(big) for _ in range(4)))
    assert [len(batch.events) for batch in batches] == [10, 10]


async def test_whoever_no_longer_waits_holds_nobody_up(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as (spool, _):
        gone = asyncio.create_task(spool.append([event("gone")]))
        await asyncio.sleep(0)
        gone.cancel()
        await spool.append([event("stays")])
        assert [each.type for each in EventBatch.decode((await spool.read(0, 1))[0].body).events] == ["gone", "stays"]


async def test_what_waits_at_the_end_is_committed(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as (spool, _):
        waiting = [asyncio.create_task(spool.append([event()])) for _ in range(20)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    async with spool_in(tmp_path) as (_, stored):
        assert sum(batch.event_count for batch in stored) == 20


async def test_a_hand_over_that_fails_breaks_the_spool_and_nobody_waits(tmp_path: Path) -> None:
    def fail(batch: EventBatch) -> None:
        raise ValueError("made up")

    async with spool_in(tmp_path, on_commit=fail) as (spool, _):
        async with asyncio.timeout(10):
            outcomes = await asyncio.gather(*(spool.append([event()]) for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [SpoolError] * 3
        with pytest.raises(SpoolError, match="made up"):
            await spool.broken
        with pytest.raises(SpoolError):
            await spool.append([event()])


async def test_a_number_is_never_used_twice(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as (spool, _):
        await spool.append([event()])
        await spool.append([event()])
        await spool.remove([1, 2])
        assert spool.bytes == 0
    batches: list[EventBatch] = []
    async with spool_in(tmp_path, on_commit=batches.append) as (spool, stored):
        assert stored == []
        await spool.append([event()])
    assert [batch.number for batch in batches] == [3]


async def test_only_what_is_named_is_removed(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as (spool, _):
        for _ in range(3):
            await spool.append([event()])
        await spool.remove([2, 99])
        assert [batch.number for batch in await spool.read(0, 1_000_000)] == [1, 3]
        assert [batch.number for batch in await spool.read(0, 1)] == [1]
        assert [batch.number for batch in await spool.read(1, 1)] == [3]


async def test_a_full_spool_refuses_until_there_is_room(tmp_path: Path) -> None:
    big = event(properties=b'"' + b"x" * 600 + b'"')
    async with spool_in(tmp_path, max_bytes=1_500) as (spool, _):
        await spool.append([big])
        with pytest.raises(SpoolFullError):
            await spool.append([big, big])
        await spool.append([event()])
        await spool.remove([1, 2])
        await spool.append([big])
    async with spool_in(tmp_path) as (_, stored):
        assert [batch.number for batch in stored] == [3]


async def test_the_bound_counts_what_is_still_on_its_way(tmp_path: Path) -> None:
    big = event(properties=b'"' + b"x" * 600 + b'"')
    async with spool_in(tmp_path, max_bytes=1_900) as (spool, _):
        outcomes = await asyncio.gather(*(spool.append([big]) for _ in range(10)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes].count(SpoolFullError) == 8


async def test_two_processes_cannot_share_a_spool(tmp_path: Path) -> None:
    async with spool_in(tmp_path):
        with pytest.raises(SpoolError, match=r"another process uses the spool.*INAPP_EDGE_DIR"):
            await Spool(tmp_path, 1_000, lambda batch: None).open()


async def test_a_file_that_is_no_spool_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "spool.sqlite").write_bytes(b"this is not SQLite" * 1000)
    spool = Spool(tmp_path, 1_000, lambda batch: None)
    with pytest.raises(SpoolError, match="cannot open the spool"):
        await spool.open()
    await spool.close()


class FailingConnection(sqlite3.Connection):
    """Fails every insert of a batch with `failure`, once that is set."""

    failure: sqlite3.OperationalError | None = None

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if "INSERT INTO batches" in sql and self.failure is not None:
            raise self.failure
        return super().execute(sql, *parameters)


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes writes fail with an SQLite error code."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kw: connect(*args, **kw, factory=FailingConnection))

    def start(code: int) -> None:
        failure = sqlite3.OperationalError("made up")
        failure.sqlite_errorcode = code
        monkeypatch.setattr(FailingConnection, "failure", failure)

    return start


async def test_a_failed_write_acknowledges_nothing_and_breaks_the_spool(
    tmp_path: Path, fail: Callable[[int], None]
) -> None:
    batches: list[EventBatch] = []
    async with spool_in(tmp_path, on_commit=batches.append) as (spool, _):
        await spool.append([event()])
        fail(sqlite3.SQLITE_IOERR_FSYNC)
        outcomes = await asyncio.gather(*(spool.append([event()]) for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [SpoolError] * 3
        assert isinstance(spool.broken.exception(), SpoolError)
        with pytest.raises(SpoolError):
            await spool.append([event()])
        with pytest.raises(SpoolError):
            await spool.check_writable()
    assert len(batches) == 1


async def test_a_full_disk_refuses_and_recovers(
    tmp_path: Path, fail: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with spool_in(tmp_path) as (spool, _):
        fail(sqlite3.SQLITE_FULL)
        with pytest.raises(SpoolFullError):
            await spool.append([event()])
        assert spool.bytes == 0
        monkeypatch.setattr(FailingConnection, "failure", None)
        await spool.append([event()])
    async with spool_in(tmp_path) as (_, stored):
        assert [batch.number for batch in stored] == [1]


async def test_every_commit_is_synced(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as (spool, _):
        pragmas = await spool._file.call(
            lambda connection: [
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
            ]
        )
    assert pragmas == ["wal", 2]


def kill_after(folder: Path, acknowledged: int) -> list[str]:
    """The ids of all events that a writer was told are safe before it was killed, of which there are at least some."""
    command = [sys.executable, "-m", "tests.support.spooling", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline().strip() for _ in range(acknowledged)]
        writer.send_signal(signal.SIGKILL)
        return told + [line.strip() for line in writer.stdout if line.endswith("\n")]


@pytest.mark.parametrize("acknowledged", [1, 100, 1000])
async def test_a_kill_in_mid_stream_loses_nothing_acknowledged(tmp_path: Path, acknowledged: int) -> None:
    told = await asyncio.to_thread(kill_after, tmp_path, acknowledged)
    async with spool_in(tmp_path) as (_, stored):
        kept = [str(each.id) for batch in stored for each in EventBatch.decode(batch.body).events]
    assert len(told) >= acknowledged
    assert set(told) <= set(kept)
    assert len(kept) == len(set(kept))
    assert [batch.number for batch in stored] == list(range(1, len(stored) + 1))
