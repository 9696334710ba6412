"""Who works in which folder, and acknowledged events of workers that there are no more."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge.left_over import adopt, folder_of, left_over
from edge.spool import SPOOLED_BATCHES, SPOOLED_BYTES, Spool
from edge.spool_file import SpoolError, SpoolFullError
from tests.support.spooling import event
from wire.events import Event, EventBatch

pytestmark = pytest.mark.anyio


async def opened(folder: Path, max_bytes: int = 1_000_000) -> tuple[Spool, list[EventBatch]]:
    committed: list[EventBatch] = []
    spool = Spool(folder, max_bytes, committed.append)
    await spool.open()
    return spool, committed


async def left_in(folder: Path, *batches: Sequence[Event]) -> None:
    spool, _ = await opened(folder)
    for events in batches:
        await spool.append(events)
    await spool.close()


async def kept(folder: Path) -> int:
    spool = Spool(folder, 1_000_000, lambda batch: None)
    stored = await spool.open()
    await spool.close()
    return sum(batch.event_count for batch in stored)


def test_the_first_worker_works_where_an_edge_of_one_process_does(tmp_path: Path) -> None:
    assert folder_of(tmp_path, 0) == tmp_path
    assert len({folder_of(tmp_path, worker) for worker in range(64)}) == 64


@pytest.mark.parametrize(("workers", "left"), [(1, {"worker-1", "worker-2", "worker-11"}), (3, {"worker-11"})])
async def test_a_folder_is_left_over_when_nobody_opens_its_spool(tmp_path: Path, workers: int, left: set[str]) -> None:
    for worker in (0, 1, 2, 11):
        await left_in(folder_of(tmp_path, worker))
    (tmp_path / "worker-30" / "bundles").mkdir(parents=True)
    assert {folder.name for folder in left_over(tmp_path, workers)} == left


async def test_what_is_left_over_is_taken_as_if_it_had_just_come(tmp_path: Path) -> None:
    first, second, third = event("first"), event("second"), event("third")
    await left_in(tmp_path / "left", [first, second], [third])
    spool, committed = await opened(tmp_path / "own")
    await adopt(spool, tmp_path / "left")
    assert [batch.events for batch in committed] == [(first, second), (third,)]
    assert {batch.spool for batch in committed} == {spool.id}
    assert SPOOLED_BATCHES._value.get() == 2
    assert SPOOLED_BYTES._value.get() == spool.bytes
    await spool.close()
    assert (await kept(tmp_path / "own"), await kept(tmp_path / "left")) == (3, 0)


async def test_what_does_not_fit_stays_where_it_is(tmp_path: Path) -> None:
    await left_in(tmp_path / "left", *[[event(properties=b'{"pad":"%b"}' % (b"x" * 400))] for _ in range(5)])
    spool, committed = await opened(tmp_path / "own", max_bytes=2_000)
    with pytest.raises(SpoolFullError):
        await adopt(spool, tmp_path / "left")
    await spool.close()
    assert 0 < len(committed) < 5
    assert await kept(tmp_path / "left") == 5 - len(committed)


async def test_what_cannot_be_read_stays_and_the_rest_moves(tmp_path: Path) -> None:
    await left_in(tmp_path / "left", [event("first")], [event("second")])
    with closing(sqlite3.connect(tmp_path / "left" / "spool.sqlite")) as connection, connection:
        connection.execute("UPDATE batches SET body = x'c1' WHERE number = 1")
    spool, committed = await opened(tmp_path / "own")
    with capture_logs() as lines:
        await adopt(spool, tmp_path / "left")
    await spool.close()
    assert [each.type for batch in committed for each in batch.events] == ["second"]
    assert [line["number"] for line in lines if line["event"] == "spooled_batch_unreadable"] == [1]
    assert await kept(tmp_path / "left") == 1


async def test_a_spool_that_is_still_in_use_is_left_alone(tmp_path: Path) -> None:
    await left_in(tmp_path / "left", [event()])
    user, _ = await opened(tmp_path / "left")
    spool, committed = await opened(tmp_path / "own")
    with pytest.raises(SpoolError, match="another process uses"):
        await adopt(spool, tmp_path / "left")
    await user.close()
    await adopt(spool, tmp_path / "left")
    await spool.close()
    assert len(committed) == 1
