"""How many customers an audience has, and which leaves of a rule hold for one of them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from store.limits import TooSlowError, limited
from store.rule_sql import leaf_conditions
from store.tables import customers
from wire.rule_tree import Rule, to_json

EXACT_TIMEOUT_MS: Final = 2_000
"""How long an exact count may take before an estimate takes its place."""

_ESTIMATE_TIMEOUT_MS: Final = 1_000
_FIRST_PAGES: Final = 200
"""Of the table, in the first sample; each further one is four times as large."""

_GROWTH: Final = 4
_PAGES: Final = text("SELECT pg_relation_size('customers') / CAST(current_setting('block_size') AS integer)")

_WORKERS: Final = 2
_NO_RESOURCES: Final = "53"
"""The class of SQLSTATEs that say so: in a container there is often too little shared memory for parallel plans."""

_FOR_ALL: Final = text(
    """
    SELECT
        set_config('work_mem', '64MB', true),
        set_config('max_parallel_workers_per_gather', CAST(:workers AS text), true),
        set_config('parallel_tuple_cost', '1', true),
        set_config('cpu_tuple_cost', '0.1', true),
        set_config('enable_hashagg', 'off', true)
    """
)
"""Several processes share the customers and the events of a window, and each counts what it finds: without the last
three settings, one process would do most of the work, or all of it, or each would make all subjects distinct."""

_c = customers.c


@dataclass(frozen=True, slots=True)
class Counted:
    """`exact` False: an estimate, made from `sampled` customers who were picked at random; 0: nothing is known."""

    count: int
    exact: bool
    sampled: int | None = None


class LeafResult(NamedTuple):
    """Whether a leaf of a rule holds for a customer. `pointer`: its place in the JSON of the rule."""

    pointer: str
    condition: dict[str, object]
    holds: bool


async def count_customers(
    connection: AsyncConnection, org_id: UUID, condition: ColumnElement[bool], *, timeout_ms: int = EXACT_TIMEOUT_MS
) -> Counted:
    """How many customers of the org fulfil a condition that `store.rule_sql.rule_condition` made.

    Runs in the caller's transaction, which goes on with the settings that it had.
    """
    query = select(func.count()).select_from(customers).where(_c.org_id == org_id, condition)
    try:
        try:
            return await _exact(connection, query, timeout_ms, _WORKERS)
        except DBAPIError as error:
            if not str(getattr(error.orig, "sqlstate", "")).startswith(_NO_RESOURCES):
                raise
            return await _exact(connection, query, timeout_ms, workers=0)
    except TooSlowError:
        return await _estimated(connection, org_id, condition)


async def membership_of(
    connection: AsyncConnection, org_id: UUID, subject: str, rule: Rule, rules: Mapping[str, Rule], now_ms: int
) -> list[LeafResult] | None:
    """Each leaf of the rule, left to right, and whether it holds for the customer; None: there is no such customer.

    A reference to an audience is one leaf, with the truth of that audience. `engine.reasons.holds` says of the
    results whether the whole rule holds, `engine.reasons.deciding` which of them make it so.
    """
    conditions = leaf_conditions(rule, org_id=org_id, rules=rules, now_ms=now_ms)
    labelled = [condition.label(f"leaf_{place}") for place, condition in enumerate(conditions.values())]
    query = select(_c.subject, *labelled).where(_c.org_id == org_id, _c.subject == subject)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    return [
        LeafResult(leaf.pointer, to_json(leaf.condition), holds)
        for leaf, holds in zip(conditions, row[1:], strict=True)
    ]


async def _exact(connection: AsyncConnection, query: Select[Any], timeout_ms: int, workers: int) -> Counted:
    async with limited(connection, timeout_ms):
        await connection.execute(_FOR_ALL, {"workers": str(workers)})
        return Counted(int((await connection.execute(query)).scalar_one()), exact=True)


async def _estimated(connection: AsyncConnection, org_id: UUID, condition: ColumnElement[bool]) -> Counted:
    """From the largest sample for which there is time."""
    deadline_s = time.monotonic() + _ESTIMATE_TIMEOUT_MS / 1_000
    best = Counted(0, exact=False, sampled=0)
    pages, table_pages = _FIRST_PAGES, int((await connection.execute(_PAGES)).scalar_one())
    while (left_ms := int((deadline_s - time.monotonic()) * 1_000)) > 0:
        percent = min(100.0, pages * 100 / max(table_pages, 1))
        try:
            async with limited(connection, left_ms):
                best = await _sampled(connection, org_id, condition, percent)
        except TooSlowError:
            break
        if percent == 100.0:
            break
        pages *= _GROWTH
    return best


async def _sampled(
    connection: AsyncConnection, org_id: UUID, condition: ColumnElement[bool], percent: float
) -> Counted:
    """Whole pages are picked: what is read grows with the sample, not with the table."""
    sample = customers.tablesample(func.system(percent), name="sample")
    picked = select(sample.c.subject).where(sample.c.org_id == org_id)
    query = (
        select(func.count(), func.count().filter(condition))
        .select_from(customers)
        .where(_c.org_id == org_id, _c.subject.in_(picked))
    )
    sampled, found = (await connection.execute(query)).one()
    return Counted(round(found * 100 / percent), exact=False, sampled=sampled)
