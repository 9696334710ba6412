"""Rows of `message_stats_hourly`: how often each message was shown, clicked, dismissed, and led to its goal."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.rows.message_events import MessageEvent
from wire import events

_HOUR_MS = 3_600_000


class HourKey(NamedTuple):
    org_id: UUID
    message_id: UUID
    hour_ms: int


_ADD = text(
    """
    INSERT INTO message_stats_hourly AS stats
        (org_id, message_id, hour_ms, impressions, clicks, dismissals, conversions)
    SELECT * FROM unnest(
        CAST(:org_ids AS uuid[]), CAST(:message_ids AS uuid[]), CAST(:hours_ms AS bigint[]),
        CAST(:impressions AS bigint[]), CAST(:clicks AS bigint[]), CAST(:dismissals AS bigint[]),
        CAST(:conversions AS bigint[])
    )
    ON CONFLICT (org_id, message_id, hour_ms) DO UPDATE SET
        impressions = stats.impressions + excluded.impressions,
        clicks = stats.clicks + excluded.clicks,
        dismissals = stats.dismissals + excluded.dismissals,
        conversions = stats.conversions + excluded.conversions
    """
)


async def add(connection: AsyncConnection, new: Collection[MessageEvent], conversions: Mapping[HourKey, int]) -> None:
    """Counts events that were stored just now, in the hours in which they occurred, and conversions.

    All in one go and in one order, so that transactions do not dead-lock.
    """
    counted = Counter(
        (hour_key(item.owner.org_id, item.message_id, item.event.occurred_ms), item.event.type) for item in new
    )
    hours = sorted({key for key, _ in counted} | conversions.keys())
    if not hours:
        return
    columns = {
        "org_ids": [key.org_id for key in hours],
        "message_ids": [key.message_id for key in hours],
        "hours_ms": [key.hour_ms for key in hours],
        "impressions": [counted[key, events.IMPRESSION] for key in hours],
        "clicks": [counted[key, events.CLICKED] for key in hours],
        "dismissals": [counted[key, events.DISMISSED] for key in hours],
        "conversions": [conversions.get(key, 0) for key in hours],
    }
    await connection.execute(_ADD, columns)


def hour_key(org_id: UUID, message_id: UUID, occurred_ms: int) -> HourKey:
    return HourKey(org_id, message_id, occurred_ms - occurred_ms % _HOUR_MS)
