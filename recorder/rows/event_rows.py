"""Rows of `events`."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.rows.customers import CustomerKey, key_arrays
from wire.events import Event

Owned = tuple[CustomerKey, Event]
"""An event and whose it is."""

_ADD = text(
    """
    INSERT INTO events (org_id, id, subject, type, occurred_ms, received_ms, properties, context, session_id)
    SELECT
        org_id, id, subject, type, occurred_ms, received_ms, CAST(properties AS jsonb), CAST(context AS jsonb),
        session_id
    FROM unnest(
        CAST(:org_ids AS uuid[]), CAST(:ids AS uuid[]), CAST(:subjects AS text[]), CAST(:types AS text[]),
        CAST(:occurred_ms AS bigint[]), CAST(:received_ms AS bigint[]), CAST(:properties AS text[]),
        CAST(:contexts AS text[]), CAST(:session_ids AS text[])
    ) AS added (org_id, id, subject, type, occurred_ms, received_ms, properties, context, session_id)
    ON CONFLICT (org_id, id) DO NOTHING
    RETURNING org_id, id
    """
)

_OF_CUSTOMER = text(
    """
    SELECT id, type, occurred_ms, received_ms, CAST(properties AS text) AS properties
    FROM events
    WHERE org_id = :org_id AND subject = :subject AND type = ANY(CAST(:types AS text[]))
    """
)

_ANY_OF_CUSTOMER = text("SELECT EXISTS (SELECT FROM events WHERE org_id = :org_id AND subject = :subject)")


async def add(connection: AsyncConnection, owned: Sequence[Owned]) -> list[Owned]:
    """Stores events; returns those that were not stored before, in their order.

    They go in by customer: neighbours in an index are quicker to reach one after the other.
    """
    if not owned:
        return []
    grouped = sorted(owned, key=_subject)
    listed = [event for _, event in grouped]
    columns = {
        "ids": [event.id for event in listed],
        "types": [event.type for event in listed],
        "occurred_ms": [event.occurred_ms for event in listed],
        "received_ms": [event.received_ms for event in listed],
        "properties": [event.properties.decode() for event in listed],
        "contexts": [event.context.decode() for event in listed],
        "session_ids": [event.session_id for event in listed],
    }
    rows = (await connection.execute(_ADD, key_arrays(owner for owner, _ in grouped) | columns)).all()
    if len(rows) == len(owned):
        return list(owned)
    added: set[tuple[UUID, UUID]] = {(org_id, id_) for org_id, id_ in rows}
    return [(owner, event) for owner, event in owned if (event.org_id, event.id) in added]


async def of_customer(connection: AsyncConnection, key: CustomerKey, types: Collection[str]) -> list[Owned]:
    """What is stored of a customer's events of these types; type, time and properties only."""
    rows = await connection.execute(_OF_CUSTOMER, key._asdict() | {"types": list(types)})
    return [(key, event_of(row, key.org_id)) for row in rows]


async def any_of_customer(connection: AsyncConnection, key: CustomerKey) -> bool:
    return (await connection.execute(_ANY_OF_CUSTOMER, key._asdict())).scalar_one() is True


def event_of(row: Row[Any], org_id: UUID) -> Event:
    """Of a row that has id, type, times, and the properties as text."""
    return Event(row.id.bytes, org_id, row.type, None, None, row.occurred_ms, row.received_ms, row.properties.encode())


def _subject(owned: Owned) -> str:
    return owned[0].subject
