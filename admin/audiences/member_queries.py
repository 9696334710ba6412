"""Who is in an audience: customers whom its rule holds for, or whoever is on its list."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Row, Select, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from admin.answers import Page
from admin.audiences.schemas import Count
from admin.paging import encode_cursor, page, read_subject
from admin.subjects import CustomerRef, ref
from store.audience_counts import EXACT_TIMEOUT_MS, Counted, count_customers
from store.limits import TooSlowError, limited
from store.rule_sql import rule_condition
from store.tables import audience_members, customers
from wire.rule_tree import Rule

_SAMPLE_SIZE = 10


@dataclass(frozen=True, slots=True)
class Members:
    """Rows of `table` (customers or audience_members) in an org for which `condition` holds."""

    org_id: UUID
    table: FromClause
    condition: ColumnElement[bool]

    def subjects(self, limit: int) -> Select[Any]:
        c = self.table.c
        return select(c.subject).where(c.org_id == self.org_id, self.condition).order_by(c.subject).limit(limit)


def listed(org_id: UUID, audience_id: UUID) -> Members:
    """A static audience's, also those of whom nothing else is known yet."""
    return Members(org_id, audience_members, audience_members.c.audience_id == audience_id)


def ruled(org_id: UUID, condition: ColumnElement[bool]) -> Members:
    """`condition`: over `customers`, as `store.rule_sql` makes it."""
    return Members(org_id, customers, condition)


def of_audience(row: Row[Any], rules: Mapping[str, Rule], now_ms: int) -> Members | None:
    """`rules`: the org's usable ones. None: this one is not among them."""
    if row.rule is None:
        return listed(row.org_id, row.id)
    rule = rules.get(str(row.id))
    if rule is None:
        return None
    return ruled(row.org_id, rule_condition(rule, org_id=row.org_id, rules=rules, now_ms=now_ms))


async def counted(connection: AsyncConnection, members: Members) -> Count:
    number = await _number(connection, members)
    sample = await _sample(connection, members)
    return Count(count=number.count, exact=number.exact, sampled=number.sampled, sample=sample)


async def listing(connection: AsyncConnection, members: Members, cursor: str | None, limit: int) -> Page[CustomerRef]:
    """Raises TooSlowError."""
    query, after = members.subjects(limit + 1), read_subject(cursor)
    if after is not None:
        query = query.where(members.table.c.subject > after)
    async with limited(connection, EXACT_TIMEOUT_MS):
        rows = (await connection.execute(query)).all()
    return page(rows, limit, lambda row: ref(row.subject), lambda row: encode_cursor(row.subject))


async def list_length(connection: AsyncConnection, members: Members) -> int:
    """Of those that are listed."""
    query = select(func.count()).select_from(members.table)
    mine = members.table.c.org_id == members.org_id
    return int((await connection.execute(query.where(mine, members.condition))).scalar_one())


async def is_listed(connection: AsyncConnection, org_id: UUID, audience_id: UUID, subject: str) -> bool:
    m = audience_members.c
    row = exists().where(m.org_id == org_id, m.audience_id == audience_id, m.subject == subject)
    return bool((await connection.execute(select(row))).scalar_one())


async def _number(connection: AsyncConnection, members: Members) -> Counted:
    if members.table is customers:
        return await count_customers(connection, members.org_id, members.condition, timeout_ms=EXACT_TIMEOUT_MS)
    return Counted(await list_length(connection, members), exact=True)


async def _sample(connection: AsyncConnection, members: Members) -> list[CustomerRef]:
    """Nobody, where it takes too long."""
    try:
        async with limited(connection, EXACT_TIMEOUT_MS):
            return [ref(subject) for subject in (await connection.execute(members.subjects(_SAMPLE_SIZE))).scalars()]
    except TooSlowError:
        return []
