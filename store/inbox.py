"""What admin asks of the recorder: rows of `inbox`, applied in the order of their ids in the recorder's transaction.

Each row's `body` by its kind:
- `events`: `{"batch": base64 of an EventBatch}`: server-side tracks and imports, already checked.
- `erase`: `{"subject": "u:…", "erasedMs": int}`: forget everything about a customer.
- `members`: `{"audienceId": "…", "add": ["u:…"], "remove": ["u:…"]}`: a static audience's members.

A customer upsert is a `customer.updated` event among `events`.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store import tables
from store.connect import INBOX_CHANNEL
from wire.events import NO_SPOOL, Event, EventBatch

EVENTS = "events"
ERASE = "erase"
MEMBERS = "members"


async def ask_events(connection: AsyncConnection, org_id: UUID, events: Sequence[Event], now_ms: int) -> int:
    batch = EventBatch(NO_SPOOL, 0, tuple(events))
    return await _ask(connection, org_id, EVENTS, {"batch": b64encode(batch.encode()).decode()}, now_ms)


async def ask_erase(connection: AsyncConnection, org_id: UUID, subject: str, now_ms: int) -> int:
    return await _ask(connection, org_id, ERASE, {"subject": subject, "erasedMs": now_ms}, now_ms)


async def ask_members(
    connection: AsyncConnection, org_id: UUID, audience_id: UUID, add: Sequence[str], remove: Sequence[str], now_ms: int
) -> int:
    body = {"audienceId": str(audience_id), "add": list(add), "remove": list(remove)}
    return await _ask(connection, org_id, MEMBERS, body, now_ms)


def events_of(body: dict[str, Any]) -> tuple[Event, ...]:
    """The events of an `events` row. Raises DecodeError."""
    return EventBatch.decode(b64decode(body["batch"])).events


async def _ask(connection: AsyncConnection, org_id: UUID, kind: str, body: dict[str, Any], now_ms: int) -> int:
    """Returns the row's id; the row is gone once the recorder has applied it."""
    row = insert(tables.inbox).values(org_id=org_id, kind=kind, body=body, created_ms=now_ms)
    inbox_id: int = (await connection.execute(row.returning(tables.inbox.c.id))).scalar_one()
    await connection.execute(select(func.pg_notify(INBOX_CHANNEL, "")))
    return inbox_id
