"""Erasing a customer: everything received up to the erasure goes, and a tombstone keeps late batches out.

What they did since stays, so that it does not matter whether the recorder met it before the erasure or after.
Hourly statistics stay too: they name nobody.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder import claims
from recorder.features import gather, rings, watched
from recorder.features import lock as feature_lock
from recorder.goals import conversions
from recorder.rows import customers, event_rows, message_events, rejected, seen_counts, tombstones
from recorder.rows.customers import Change, CustomerKey
from wire import events, subjects

_TAKE_ALIASES = text(
    """
    DELETE FROM customer_aliases WHERE org_id = :org_id AND subject = :subject AND claimed_ms <= :erased_ms
    RETURNING anonymous_id
    """
)

_DELETE_ROWS = tuple(
    map(
        text,
        (
            "DELETE FROM events WHERE org_id = :org_id AND subject = :subject AND received_ms <= :erased_ms",
            """
            DELETE FROM in_app_message_impressions
            WHERE org_id = :org_id AND subject = :subject AND received_ms <= :erased_ms
            """,
            "DELETE FROM audience_members WHERE org_id = :org_id AND subject = :subject",
        ),
    )
)


async def erase(connection: AsyncConnection, org_id: UUID, subject: str, erased_ms: int) -> set[CustomerKey]:
    """Returns the customer and the anonymous visitors that were or are theirs. Erasing again changes nothing."""
    key = CustomerKey(org_id, subject)
    await feature_lock.share(connection, [org_id])
    locked = await customers.lock(connection, {key: erased_ms})
    if tombstones.covers(await tombstones.read(connection, [key]), key, erased_ms):
        await customers.delete(connection, locked.new)
        return {key}
    named: dict[str, Any] = {"org_id": org_id, "subject": subject, "erased_ms": erased_ms}
    visitors = (await connection.execute(_TAKE_ALIASES, named)).scalars()
    erased = {key} | {CustomerKey(org_id, subjects.anonymous(anonymous_id)) for anonymous_id in visitors}
    await tombstones.lay(connection, sorted(erased), erased_ms)
    for statement in _DELETE_ROWS:
        await connection.execute(statement, named)
    for each in erased:
        await rejected.forget(connection, each.org_id, each.subject)
    await _keep_survivors(connection, key, erased_ms)
    await conversions.start_over(connection, key)
    return erased | await claims.visitors_of(connection, [key])


async def _keep_survivors(connection: AsyncConnection, key: CustomerKey, erased_ms: int) -> None:
    """Makes the customer anew out of what they did after the erasure."""
    await seen_counts.drop(connection, key)
    await rings.drop(connection, key)
    held = (await customers.read(connection, [key])).get(key)
    if held is None or not await event_rows.any_of_customer(connection, key):
        await customers.delete(connection, [key])
        return
    survivors = await event_rows.of_customer(connection, key, events.MESSAGE_EVENTS)
    await seen_counts.add(connection, await message_events.among(connection, survivors))
    await _keep_moments(connection, key)
    held.traits.keep_after(erased_ms)
    change = Change(held.created_ms, held.last_seen_ms, moves=True, traits=held.traits)
    await customers.save(connection, {key: change})


async def _keep_moments(connection: AsyncConnection, key: CustomerKey) -> None:
    """Makes the rings anew out of the events that survive."""
    if found := (await watched.read(connection, [key.org_id])).get(key.org_id):
        made = await gather.made_rings(connection, key.org_id, [key.subject], found.features)
        await rings.replace(connection, [key], found.kept.keys(), made)
