"""Each worker's folder, and what becomes of acknowledged events in the folder of a worker that there is no more."""

import asyncio
from pathlib import Path

import structlog

from edge.spool import Spool
from edge.spool_file import SpooledBatch, SpoolFile
from service.logs import one_line
from wire.codec import DecodeError
from wire.events import EventBatch

log = structlog.get_logger("edge")


def folder_of(edge_dir: Path, worker: int) -> Path:
    """The first worker's is the edge's own, which is also where an edge of one process works."""
    return edge_dir if worker == 0 else edge_dir / f"worker-{worker}"


def left_over(edge_dir: Path, workers: int) -> list[Path]:
    """Folders below with a spool that none of so many workers opens."""
    taken = {folder_of(edge_dir, worker) for worker in range(workers)}
    return sorted({path.parent for path in edge_dir.glob("worker-*/spool.sqlite")} - taken)


async def adopting(spool: Spool, folder: Path) -> None:
    """`adopt`, then rests until cancelled."""
    await adopt(spool, folder)
    await asyncio.Event().wait()


async def adopt(spool: Spool, folder: Path) -> None:
    """Moves acknowledged events from the spool in `folder` to `spool`. Raises SpoolError when one of them is full or in
    use; nothing is lost then, and the next call goes on. What cannot be read stays.

    An event is on its new disk before it leaves the old one. A process that dies in between moves it again, and it may
    be on its way to the recorder already: that knows events by their ids. The old file stays, empty: it remembers its
    id and its numbers for when there are as many workers again.
    """
    left = SpoolFile(folder)
    try:
        for batch in await left.open():
            await _move(batch, left, spool)
    finally:
        await left.close()


async def _move(batch: SpooledBatch, left: SpoolFile, spool: Spool) -> None:
    try:
        events = EventBatch.decode(batch.body).events
    except DecodeError as error:
        log.error("spooled_batch_unreadable", spool=str(left.id), number=batch.number, reason=one_line(error))
        return
    await spool.append(events)
    await left.remove([batch.number])
    log.info("left_over_events_adopted", spool=str(left.id), number=batch.number, events=batch.event_count)
