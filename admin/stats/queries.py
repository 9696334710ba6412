from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Label, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from admin.messages.status import has_status
from store.tables import in_app_message_conversions, in_app_messages, message_stats_hourly, message_user_state

_m, _h, _u, _c = in_app_messages.c, message_stats_hourly.c, message_user_state.c, in_app_message_conversions.c


class Counts(NamedTuple):
    impressions: int = 0
    clicks: int = 0
    dismissals: int = 0
    conversions: int = 0


class People(NamedTuple):
    """Who has not been erased. `pairs`: of a person and a message that they saw; `converted`: those that converted."""

    people: int
    pairs: int
    converted: int


class MessageCounts(NamedTuple):
    total: int
    active: int


async def message_counts(connection: AsyncConnection, org_id: UUID, now_ms: int) -> MessageCounts:
    total = func.count().filter(_m.archived_ms.is_(None))
    active = func.count().filter(has_status("live", now_ms))
    row = (await connection.execute(select(total, active).where(_m.org_id == org_id))).one()
    return MessageCounts(*row)


async def org_counts(connection: AsyncConnection, org_id: UUID) -> Counts:
    """Counts of all messages that have not been deleted; archived ones too."""
    query = select(*_sums()).join(in_app_messages, _m.id == _h.message_id)
    row = (await connection.execute(query.where(_h.org_id == org_id, _m.org_id == org_id))).one()
    return _counts(row)


async def org_people(connection: AsyncConnection, org_id: UUID) -> People:
    """Of all messages that have not been deleted; archived ones too."""
    seen = select(func.count(_u.subject.distinct()), func.count()).join(in_app_messages, _m.id == _u.message_id)
    converted = select(func.count()).join_from(in_app_message_conversions, in_app_messages, _m.id == _c.message_id)
    converted = converted.where(_c.org_id == org_id, _m.org_id == org_id)
    mine = (_u.org_id == org_id, _m.org_id == org_id, _u.impressions > 0)
    query = seen.add_columns(converted.scalar_subquery()).where(*mine)
    return People(*(await connection.execute(query)).one())


async def totals_of(connection: AsyncConnection, org_id: UUID, message_id: UUID) -> Counts:
    query = select(*_sums()).where(_h.org_id == org_id, _h.message_id == message_id)
    return _counts((await connection.execute(query)).one())


async def people_of(connection: AsyncConnection, org_id: UUID, message_id: UUID) -> People:
    mine = (_u.org_id == org_id, _u.message_id == message_id, _u.impressions > 0)
    converted = select(func.count()).where(_c.org_id == org_id, _c.message_id == message_id).scalar_subquery()
    query = select(func.count(), func.count(), converted).select_from(message_user_state).where(*mine)
    return People(*(await connection.execute(query)).one())


async def series_of(
    connection: AsyncConnection, org_id: UUID, message_id: UUID, starts_ms: int, ends_ms: int, step_ms: int
) -> Mapping[int, Counts]:
    """Start of an interval → its counts; intervals in which nothing was counted are missing."""
    at: ColumnElement[int] = _h.hour_ms - _h.hour_ms % step_ms
    within = (_h.hour_ms >= starts_ms, _h.hour_ms < ends_ms)
    query = select(at.label("at"), *_sums()).where(_h.org_id == org_id, _h.message_id == message_id, *within)
    rows = await connection.execute(query.group_by("at"))
    return {row[0]: _counts(row[1:]) for row in rows}


def _counts(sums: Iterable[Decimal]) -> Counts:
    return Counts(*map(int, sums))


def _sums() -> list[Label[Any]]:
    columns = (_h.impressions, _h.clicks, _h.dismissals, _h.conversions)
    return [func.coalesce(func.sum(column), 0).label(column.name) for column in columns]
