"""Static audiences: who is listed in them."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.rows import customers
from recorder.rows.customers import Change, CustomerKey

_STANDING = text("SELECT 1 FROM audiences WHERE id = :audience_id AND org_id = :org_id AND rule IS NULL FOR KEY SHARE")

_ADD = text(
    """
    INSERT INTO audience_members (org_id, audience_id, subject)
    SELECT :org_id, :audience_id, subject FROM unnest(CAST(:subjects AS text[])) AS added (subject)
    ON CONFLICT DO NOTHING
    RETURNING subject
    """
)

_REMOVE = text(
    """
    DELETE FROM audience_members
    WHERE org_id = :org_id AND audience_id = :audience_id AND subject = ANY(CAST(:subjects AS text[]))
    RETURNING subject
    """
)


async def change_members(
    connection: AsyncConnection,
    org_id: UUID,
    audience_id: UUID,
    add: Collection[str],
    remove: Collection[str],
    now_ms: int,
) -> set[CustomerKey]:
    """Adds and removes subjects; who is added becomes a customer. Nothing happens to an audience that is gone.

    Returns everybody who was named, and their users.
    """
    named = {CustomerKey(org_id, subject): now_ms for subject in (*add, *remove)}
    locked = await customers.lock(connection, named)
    audience = {"org_id": org_id, "audience_id": audience_id}
    changed: set[str] = set()
    if (await connection.execute(_STANDING, audience)).first():
        for statement, listed in ((_ADD, add), (_REMOVE, remove)):
            owners = {locked.owner(CustomerKey(org_id, subject)).subject for subject in listed}
            changed |= set((await connection.execute(statement, audience | {"subjects": sorted(owners)})).scalars())
    changes = {CustomerKey(org_id, subject): Change(now_ms, now_ms, moves=True) for subject in changed}
    await customers.save(connection, changes)
    await customers.delete(connection, locked.new - changes.keys())
    return named.keys() | set(locked.aliases.values())
