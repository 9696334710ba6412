from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, Row, Select, and_, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import (
    customer_aliases,
    customers,
    events,
    in_app_message_conversions,
    in_app_messages,
    message_user_state,
)
from wire import subjects

_c = customers.c
_MOST_MESSAGES = 200
_MOST_EVENTS = 50


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
    """What a customer did with each message that there still is, the newest message first.

    `converted_ms`: when they reached its goal; None: not yet.
    """
    s, m, done = message_user_state.c, in_app_messages.c, in_app_message_conversions.c
    converted = and_(done.org_id == s.org_id, done.message_id == s.message_id, done.subject == s.subject)
    query = (
        select(message_user_state, m.name, done.occurred_ms.label("converted_ms"))
        .join(in_app_messages, (m.id == s.message_id) & (m.org_id == s.org_id))
        .outerjoin(in_app_message_conversions, converted)
        .where(s.org_id == org_id, s.subject == subject)
        .order_by(m.created_ms.desc(), m.id.desc())
        .limit(_MOST_MESSAGES)
    )
    return (await connection.execute(query)).all()


async def events_of(connection: AsyncConnection, org_id: UUID, subject: str) -> Sequence[Row[Any]]:
    """The newest, newest first.

    Type by type, as the index has them: a customer may have any number of events.
    """
    e = events.c
    mine = and_(e.org_id == org_id, e.subject == subject)
    newest = (e.occurred_ms.desc(), e.id.desc())
    types = _types_of(mine)
    of_type = select(events).where(mine, e.type == types.c.type).order_by(*newest).limit(_MOST_EVENTS).lateral()
    found = of_type.c
    query: Select[Any] = select(found.type, found.occurred_ms, found.received_ms, found.properties).select_from(types)
    query = query.join(of_type, true()).order_by(found.occurred_ms.desc(), found.id.desc()).limit(_MOST_EVENTS)
    rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
    return rows


def _types_of(mine: ColumnElement[bool]) -> CTE:
    """The types of events that there are: each found by one look into the index from the one before."""
    e = events.c
    first = select(func.min(e.type).label("type")).where(mine)
    types = first.cte("types", recursive=True)
    following = select(func.min(e.type)).where(mine, e.type > types.c.type).correlate(types).scalar_subquery()
    return types.union_all(select(following).where(types.c.type.is_not(None)))
