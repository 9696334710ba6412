from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import api_keys

_SHOWN = api_keys.c["id", "kind", "env", "role", "name", "hint", "created_ms", "revoked_ms"]


async def insert_key(connection: AsyncConnection, **values: Any) -> Row[Any]:
    return (await connection.execute(insert(api_keys).values(**values).returning(*_SHOWN))).one()


async def list_keys(connection: AsyncConnection, org_id: UUID) -> Sequence[Row[Any]]:
    query = select(*_SHOWN).where(api_keys.c.org_id == org_id).order_by(api_keys.c.created_ms, api_keys.c.id)
    return (await connection.execute(query)).all()


async def select_key(connection: AsyncConnection, org_id: UUID, key_id: UUID) -> Row[Any] | None:
    query = select(*_SHOWN).where(api_keys.c.org_id == org_id, api_keys.c.id == key_id)
    return (await connection.execute(query)).one_or_none()


async def has_other_admin_key(connection: AsyncConnection, org_id: UUID, key_id: UUID) -> bool:
    others = exists().where(
        api_keys.c.org_id == org_id,
        api_keys.c.id != key_id,
        api_keys.c.kind == "sk",
        api_keys.c.role == "admin",
        api_keys.c.revoked_ms.is_(None),
    )
    return bool((await connection.execute(select(others))).scalar_one())


async def set_revoked(connection: AsyncConnection, org_id: UUID, key_id: UUID, now_ms: int) -> Row[Any]:
    change = update(api_keys).where(api_keys.c.org_id == org_id, api_keys.c.id == key_id).values(revoked_ms=now_ms)
    return (await connection.execute(change.returning(*_SHOWN))).one()
