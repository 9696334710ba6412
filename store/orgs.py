"""The row of an org, as a lock."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import orgs


async def lock_org(connection: AsyncConnection, org_id: UUID) -> Row[Any] | None:
    """Writes that must not overlap within an org, such as two halves of a circle of audiences, queue here."""
    query = select(orgs).where(orgs.c.id == org_id).with_for_update(key_share=True)
    return (await connection.execute(query)).one_or_none()
