"""Rows of `message_stats_hourly`: how often each message was shown, clicked and dismissed."""

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.message_events import MessageEvent
from wire import events

_HOUR_MS = 3_600_000


class HourKey(NamedTuple):
    org_id: UUID
    message_id: UUID
    hour_ms: int


_ADD = text(
    """
    INSERT INTO message_stats_hourly AS stats (org_id, message_id, hour_ms, impressions, clicks, dismissals)
    SELECT * FROM unnest(
        CAST(:org_ids AS uuid[]), CAST(:message_ids AS uuid[]), CAST(:hours_ms AS bigint[]),
        CAST(:impressions AS bigint[]), CAST(:clicks AS bigint[]), CAST(:dismissals AS bigint[])
    )
    ON CONFLICT (org_id, message_id, hour_ms) DO UPDATE SET
        impressions = stats.impressions + excluded.impressions,
        clicks = stats.clicks + excluded.clicks,
        dismissals = stats.dismissals + excluded.dismissals
    """
)


async def add(connection: AsyncConnection, new: Collection[MessageEvent]) -> None:
    """Counts events that were stored just now, in the hours in which they occurred."""
    if not new:
        return
    counted = Counter((_hour_key(item), item.event.type) for item in new)
    hours = sorted({key for key, _ in counted})  # one order for all, so that transactions do not dead-lock
    columns = {
        "org_ids": [key.org_id for key in hours],
        "message_ids": [key.message_id for key in hours],
        "hours_ms": [key.hour_ms for key in hours],
        "impressions": [counted[key, events.IMPRESSION] for key in hours],
        "clicks": [counted[key, events.CLICKED] for key in hours],
        "dismissals": [counted[key, events.DISMISSED] for key in hours],
    }
    await connection.execute(_ADD, columns)


def _hour_key(item: MessageEvent) -> HourKey:
    occurred_ms = item.event.occurred_ms
    return HourKey(item.owner.org_id, item.message_id, occurred_ms - occurred_ms % _HOUR_MS)
