"""Who is in an audience: customers whom its rule holds for, or whoever is on its list."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from admin.answers import Page
from admin.audiences import queries
from admin.audiences.rules import stored_rules
from admin.audiences.schemas import Count
from admin.paging import encode_cursor, page, read_subject
from admin.subjects import CustomerRef, ref
from store.rule_sql import rule_condition
from store.tables import audience_members, customers

_SAMPLE_SIZE = 10


@dataclass(frozen=True, slots=True)
class Members:
    """Rows of `table` (customers or audience_members) for which `condition` holds, each with a `subject`."""

    table: FromClause
    condition: ColumnElement[bool]

    @property
    def subject(self) -> ColumnElement[str]:
        return self.table.c.subject


def listed(org_id: UUID, audience_id: UUID) -> Members:
    """A static audience's, also those of whom nothing else is known yet."""
    members = audience_members.c
    return Members(audience_members, (members.org_id == org_id) & (members.audience_id == audience_id))


def ruled(org_id: UUID, condition: ColumnElement[bool]) -> Members:
    """`condition`: over `customers`, as `store.rule_sql` makes it."""
    return Members(customers, (customers.c.org_id == org_id) & condition)


async def of_audience(connection: AsyncConnection, row: Row[Any], now_ms: int) -> Members:
    if row.rule is None:
        return listed(row.org_id, row.id)
    rules = stored_rules(await queries.rules_of(connection, row.org_id))
    condition = rule_condition(rules[str(row.id)], org_id=row.org_id, rules=rules, now_ms=now_ms)
    return ruled(row.org_id, condition)


async def count(connection: AsyncConnection, members: Members) -> int:
    query = select(func.count()).select_from(members.table).where(members.condition)
    return int((await connection.execute(query)).scalar_one())


async def counted(connection: AsyncConnection, members: Members) -> Count:
    sample = select(members.subject).where(members.condition).order_by(members.subject).limit(_SAMPLE_SIZE)
    subjects = (await connection.execute(sample)).scalars()
    return Count(count=await count(connection, members), sample=[ref(subject) for subject in subjects])


async def listing(connection: AsyncConnection, members: Members, cursor: str | None, limit: int) -> Page[CustomerRef]:
    query = select(members.subject).where(members.condition).order_by(members.subject).limit(limit + 1)
    after = read_subject(cursor)
    if after is not None:
        query = query.where(members.subject > after)
    rows = (await connection.execute(query)).all()
    return page(rows, limit, lambda row: ref(row.subject), lambda row: encode_cursor(row.subject))
