"""`rejected_events`: accepted events that were declared lost. A batch that is sent again is not counted again."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from wire.events import NO_SPOOL, Event, EventBatch

ERASED = "erased"
UNDECODABLE_BATCH = "undecodable_batch"
UNREADABLE_ROW = "unreadable_inbox_row"


class Lost(NamedTuple):
    """`id`: the event's, or one made for what cannot be read; `event_count`: how many events it stands for."""

    org_id: UUID | None
    id: UUID
    reason: str
    body: bytes = b""
    event_count: int = 1


_ADD = text(
    """
    INSERT INTO rejected_events (org_id, event_id, reason, body, count, rejected_ms)
    SELECT org_id, event_id, reason, body, count, :now_ms
    FROM unnest(
        CAST(:org_ids AS uuid[]), CAST(:ids AS uuid[]), CAST(:reasons AS text[]), CAST(:bodies AS bytea[]),
        CAST(:counts AS integer[])
    ) AS lost (org_id, event_id, reason, body, count)
    ON CONFLICT (org_id, event_id, reason) DO NOTHING
    RETURNING event_id, count AS event_count
    """
)

_BODIES = text("SELECT id, body FROM rejected_events WHERE org_id = :org_id AND body <> ''")
_EMPTY = text("UPDATE rejected_events SET body = '' WHERE org_id = :org_id AND id = ANY(CAST(:ids AS bigint[]))")


async def add(connection: AsyncConnection, lost: Sequence[Lost], now_ms: int) -> dict[UUID, int]:
    """Returns the counts of those that were not declared lost before."""
    if not lost:
        return {}
    columns = {
        "org_ids": [item.org_id for item in lost],
        "ids": [item.id for item in lost],
        "reasons": [item.reason for item in lost],
        "bodies": [item.body for item in lost],
        "counts": [item.event_count for item in lost],
        "now_ms": now_ms,
    }
    rows = await connection.execute(_ADD, columns)
    return {row.event_id: row.event_count for row in rows}


async def forget(connection: AsyncConnection, org_id: UUID, subject: str) -> None:
    """Empties the bodies that hold events of an erased customer."""
    rows = (await connection.execute(_BODIES, {"org_id": org_id})).all()
    ids = [id_ for id_, body in rows if _subject(body) == subject]
    if ids:
        await connection.execute(_EMPTY, {"org_id": org_id, "ids": ids})


def refused(event: Event, reason: str) -> Lost:
    return Lost(event.org_id, event.id, reason, EventBatch(NO_SPOOL, 0, (event,)).encode())


def _subject(body: bytes) -> str | None:
    try:
        return EventBatch.decode(body).events[0].subject
    except (ValueError, IndexError):
        return None
