"""Rows of `in_app_message_impressions`."""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.rows.customers import key_arrays
from recorder.rows.message_events import MessageEvent
from wire import events

_ADD = text(
    """
    INSERT INTO in_app_message_impressions (org_id, id, message_id, subject, occurred_ms, received_ms)
    SELECT * FROM unnest(
        CAST(:org_ids AS uuid[]), CAST(:ids AS uuid[]), CAST(:message_ids AS uuid[]), CAST(:subjects AS text[]),
        CAST(:occurred_ms AS bigint[]), CAST(:received_ms AS bigint[])
    )
    """
)


async def add(connection: AsyncConnection, new: Iterable[MessageEvent]) -> int:
    """Stores those of the events, which were stored just now, that are impressions; returns how many are."""
    shown = [item for item in new if item.event.type == events.IMPRESSION]
    if shown:
        columns = {
            "ids": [item.event.id for item in shown],
            "message_ids": [item.message_id for item in shown],
            "occurred_ms": [item.event.occurred_ms for item in shown],
            "received_ms": [item.event.received_ms for item in shown],
        }
        await connection.execute(_ADD, key_arrays(item.owner for item in shown) | columns)
    return len(shown)
