from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import orgs


async def insert_org(connection: AsyncConnection, **values: Any) -> None:
    await connection.execute(insert(orgs).values(**values))


async def select_org(connection: AsyncConnection, org_id: UUID) -> Row[Any] | None:
    return (await connection.execute(select(orgs).where(orgs.c.id == org_id))).one_or_none()


async def app_schemes(connection: AsyncConnection, org_id: UUID) -> frozenset[str]:
    query = select(orgs.c.app_schemes).where(orgs.c.id == org_id)
    return frozenset((await connection.execute(query)).scalar_one())


async def update_org(connection: AsyncConnection, org_id: UUID, values: dict[str, Any]) -> Row[Any]:
    change = update(orgs).where(orgs.c.id == org_id).values(**values).returning(*orgs.c)
    return (await connection.execute(change)).one()
