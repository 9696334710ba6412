"""An org's audiences, read so that no unreadable rule keeps the others from being used."""

from uuid import UUID

from sqlalchemy import Text, cast, select
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.audiences import Audiences, StoredAudience, read
from store.tables import audiences

_a = audiences.c


async def stored_audiences(connection: AsyncConnection, org_id: UUID) -> list[StoredAudience]:
    """By id. Rules are not parsed by the driver, where one unreadable value would fail the whole query."""
    columns = (_a.id, _a.name, cast(_a.rule, Text).label("rule"), _a.preparing)
    rows = await connection.execute(select(*columns).where(_a.org_id == org_id).order_by(_a.id))
    return [StoredAudience(row.id, row.name, row.rule, row.preparing) for row in rows]


async def read_audiences(connection: AsyncConnection, org_id: UUID) -> Audiences:
    return read(await stored_audiences(connection, org_id))
