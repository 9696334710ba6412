from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Uuid, any_, delete, insert, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from admin.audiences.schemas import MessageUse
from admin.errors import not_found
from admin.messages.stored import readable
from admin.paging import Place, newest_first
from store.tables import audiences, in_app_messages

_a = audiences.c
_COLUMNS = [readable(column) for column in _a]


async def insert_audience(connection: AsyncConnection, **values: Any) -> None:
    await connection.execute(insert(audiences).values(**values))


async def get_audience(connection: AsyncConnection, org_id: UUID, audience_id: UUID, *, lock: bool = False) -> Row[Any]:
    """Raises ApiError 404."""
    query = select(*_COLUMNS).where(_a.org_id == org_id, _a.id == audience_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise not_found()
    return row


async def list_audiences(
    connection: AsyncConnection, org_id: UUID, after: Place | None, limit: int
) -> Sequence[Row[Any]]:
    query = select(*_COLUMNS).where(_a.org_id == org_id)
    query = newest_first(query, _a.created_ms, _a.id, after, limit)
    return (await connection.execute(query)).all()


async def id_of_name(connection: AsyncConnection, org_id: UUID, name: str) -> UUID | None:
    query = select(_a.id).where(_a.org_id == org_id, _a.name == name)
    found: UUID | None = (await connection.execute(query)).scalar_one_or_none()
    return found


async def update_audience(connection: AsyncConnection, org_id: UUID, audience_id: UUID, values: dict[str, Any]) -> None:
    await connection.execute(update(audiences).where(_a.org_id == org_id, _a.id == audience_id).values(**values))


async def delete_audience(connection: AsyncConnection, org_id: UUID, audience_id: UUID) -> None:
    await connection.execute(delete(audiences).where(_a.org_id == org_id, _a.id == audience_id))


async def messages_using(connection: AsyncConnection, org_id: UUID, audience_id: UUID) -> list[MessageUse]:
    """Archived ones too: they keep what they were."""
    m = in_app_messages.c
    uses = or_(
        m.audience_id == audience_id,
        literal(audience_id, Uuid) == any_(m.exclude_audience_ids),
        m.trigger["audienceId"].astext == str(audience_id),
    )
    query = select(m.id, m.name, m.archived_ms).where(m.org_id == org_id, uses).order_by(m.created_ms, m.id)
    rows = await connection.execute(query)
    return [MessageUse(id=row.id, name=row.name, archived=row.archived_ms is not None) for row in rows]
