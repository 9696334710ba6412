"""Tombstones: events of an erased customer received up to its erasure are dropped, however late they come."""

from collections.abc import Collection, Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.rows.customers import CustomerKey, key_arrays

Tombstones = Mapping[CustomerKey, int]
"""Customer → the moment of the erasure."""

_READ = text(
    """
    SELECT erased_customers.org_id, erased_customers.subject, erased_ms
    FROM erased_customers
    JOIN unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)
    ON erased_customers.org_id = asked.org_id AND erased_customers.subject = asked.subject
    """
)

_LAY = text(
    """
    INSERT INTO erased_customers AS tombstone (org_id, subject, erased_ms, rev)
    SELECT org_id, subject, :erased_ms, nextval('customer_rev')
    FROM unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)
    ON CONFLICT (org_id, subject) DO UPDATE SET
        erased_ms = GREATEST(tombstone.erased_ms, excluded.erased_ms), rev = excluded.rev
    """
)


async def read(connection: AsyncConnection, keys: Collection[CustomerKey]) -> Tombstones:
    rows = await connection.execute(_READ, key_arrays(keys))
    return {CustomerKey(org_id, subject): erased_ms for org_id, subject, erased_ms in rows}


async def lay(connection: AsyncConnection, keys: Collection[CustomerKey], erased_ms: int) -> None:
    """Each tombstone draws a rev of its own: that of the empty state that replaces the customer's."""
    await connection.execute(_LAY, key_arrays(keys) | {"erased_ms": erased_ms})


def covers(tombstones: Tombstones, key: CustomerKey, received_ms: int) -> bool:
    return received_ms <= tombstones.get(key, -1)
