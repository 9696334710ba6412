"""Telling the compiler that an org's bundles are out of date."""

from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store import tables
from store.connect import OUTBOX_CHANNEL


async def announce(connection: AsyncConnection, org_id: UUID, now_ms: int) -> None:
    """Call it in the transaction that changes what an org publishes: messages, audiences, keys, settings."""
    await connection.execute(insert(tables.outbox).values(org_id=org_id, created_ms=now_ms))
    await connection.execute(select(func.pg_notify(OUTBOX_CHANNEL, str(org_id))))
