from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from admin.paging import Place, newest_first
from store.ids import new_id
from store.tables import audit_log


async def insert_row(connection: AsyncConnection, **values: Any) -> None:
    await connection.execute(insert(audit_log).values(id=new_id(), **values))


async def list_rows(connection: AsyncConnection, org_id: UUID, after: Place | None, limit: int) -> Sequence[Row[Any]]:
    query = select(audit_log).where(audit_log.c.org_id == org_id)
    query = newest_first(query, audit_log.c.created_ms, audit_log.c.id, after, limit)
    return (await connection.execute(query)).all()
