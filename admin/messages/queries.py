from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from admin.messages.schemas import MessageQuery
from admin.messages.status import has_status, is_preparing
from admin.messages.stored import readable
from admin.paging import newest_first, read_place
from store.tables import (
    audiences,
    in_app_message_conversions,
    in_app_messages,
    message_stats_hourly,
    message_user_state,
    message_versions,
)

_m = in_app_messages.c
_COLUMNS = [*(readable(column) for column in _m), is_preparing.label("preparing")]


async def insert_message(connection: AsyncConnection, values: dict[str, Any]) -> Row[Any]:
    await connection.execute(insert(in_app_messages).values(**values))
    return await _written(connection, values["id"])


async def insert_version(connection: AsyncConnection, **values: Any) -> None:
    await connection.execute(insert(message_versions).values(**values))


async def select_message(
    connection: AsyncConnection, org_id: UUID, message_id: UUID, *, lock: bool = False
) -> Row[Any] | None:
    query = select(*_COLUMNS).where(_m.org_id == org_id, _m.id == message_id)
    return (await connection.execute(query.with_for_update() if lock else query)).one_or_none()


async def list_messages(
    connection: AsyncConnection, org_id: UUID, filters: MessageQuery, now_ms: int
) -> Sequence[Row[Any]]:
    query = select(*_COLUMNS).where(_m.org_id == org_id)
    if filters.status is not None:
        query = query.where(has_status(filters.status, now_ms))
    if filters.type is not None:
        query = query.where(_m.type == filters.type)
    if filters.audience_id is not None:
        query = query.where(_m.audience_id == filters.audience_id)
    if filters.q:
        texts = (_m.name, _m.content["title"].astext, _m.content["body"].astext)
        query = query.where(or_(*(text.icontains(filters.q, autoescape=True) for text in texts)))
    query = newest_first(query, _m.created_ms, _m.id, read_place(filters.cursor), filters.limit)
    return (await connection.execute(query)).all()


async def update_message(
    connection: AsyncConnection, org_id: UUID, message_id: UUID, values: dict[str, Any]
) -> Row[Any]:
    await connection.execute(update(in_app_messages).where(_m.org_id == org_id, _m.id == message_id).values(**values))
    return await _written(connection, message_id)


async def _written(connection: AsyncConnection, message_id: UUID) -> Row[Any]:
    """Not RETURNING: a subquery there does not see the row."""
    return (await connection.execute(select(*_COLUMNS).where(_m.id == message_id))).one()


async def delete_message(connection: AsyncConnection, org_id: UUID, message_id: UUID) -> None:
    """With its versions, statistics and what customers did with it; events and impressions stay."""
    for counts in (message_stats_hourly, message_user_state, in_app_message_conversions):
        await connection.execute(delete(counts).where(counts.c.org_id == org_id, counts.c.message_id == message_id))
    await connection.execute(delete(in_app_messages).where(_m.org_id == org_id, _m.id == message_id))


async def existing_audiences(
    connection: AsyncConnection, org_id: UUID, audience_ids: Collection[UUID]
) -> frozenset[UUID]:
    """Those of the ids that audiences have. These audiences cannot be deleted until the transaction ends."""
    query = select(audiences.c.id).where(audiences.c.org_id == org_id, audiences.c.id.in_(audience_ids))
    locked = query.order_by(audiences.c.id).with_for_update(read=True, key_share=True)
    return frozenset((await connection.execute(locked)).scalars())
