from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import customer_aliases, customers, in_app_messages, message_user_state
from wire import subjects

_c = customers.c
_MOST_MESSAGES = 200


async def select_customer(connection: AsyncConnection, org_id: UUID, subject: str) -> Row[Any] | None:
    query = select(customers).where(_c.org_id == org_id, _c.subject == subject)
    return (await connection.execute(query)).one_or_none()


async def list_customers(
    connection: AsyncConnection, org_id: UUID, prefix: str | None, after: str | None, limit: int
) -> Sequence[Row[Any]]:
    """By subject, one more than `limit`."""
    query = select(customers).where(_c.org_id == org_id)
    if prefix:
        starts = (subjects.user(prefix), subjects.anonymous(prefix))
        query = query.where(or_(*(_c.subject.startswith(start, autoescape=True) for start in starts)))
    if after is not None:
        query = query.where(_c.subject > after)
    return (await connection.execute(query.order_by(_c.subject).limit(limit + 1))).all()


async def aliases_of(connection: AsyncConnection, org_id: UUID, subject: str) -> list[str]:
    """The oldest first."""
    a = customer_aliases.c
    query = select(a.anonymous_id).where(a.org_id == org_id, a.subject == subject)
    return list((await connection.execute(query.order_by(a.claimed_ms, a.anonymous_id))).scalars())


async def messages_of(connection: AsyncConnection, org_id: UUID, subject: str) -> Sequence[Row[Any]]:
    """What a customer did with each message that there still is, the newest message first."""
    s, m = message_user_state.c, in_app_messages.c
    query = (
        select(message_user_state, m.name)
        .join(in_app_messages, (m.id == s.message_id) & (m.org_id == s.org_id))
        .where(s.org_id == org_id, s.subject == subject)
        .order_by(m.created_ms.desc(), m.id.desc())
        .limit(_MOST_MESSAGES)
    )
    return (await connection.execute(query)).all()
