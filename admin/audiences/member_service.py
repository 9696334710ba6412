"""Listing an audience's members, and changing those of a static one. Each function raises ApiError."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from admin import payloads
from admin.answers import Page
from admin.audiences import member_queries, queries
from admin.audiences.schemas import MAX_MEMBERS_AT_ONCE, ConditionHeld, MembersChange, MembershipAnswer
from admin.audit import service as audit
from admin.audit.service import Actor, Target
from admin.customers.queries import select_customer
from admin.customers.service import readable_subject
from admin.errors import conflict, not_found
from admin.paging import PageQuery
from admin.subjects import CustomerRef
from engine.reasons import deciding, holds
from service.errors import ApiError, invalid_payload
from store import inbox
from store.audience_counts import EXACT_TIMEOUT_MS, LeafResult, membership_of
from store.audiences import read_audiences
from store.limits import TooSlowError, limited
from wire import subjects
from wire.problems import Problem
from wire.rule_tree import Rule


async def list_members(
    connection: AsyncConnection, org_id: UUID, audience_id: UUID, query: PageQuery, now_ms: int
) -> Page[CustomerRef]:
    row = await queries.get_audience(connection, org_id, audience_id)
    rules = (await read_audiences(connection, org_id)).usable_rules
    found = member_queries.of_audience(row, rules, now_ms)
    if found is None:
        raise _broken()
    with _told_when_too_slow():
        return await member_queries.listing(connection, found, query.cursor, query.limit)


async def get_membership(
    connection: AsyncConnection, org_id: UUID, audience_id: UUID, user_id: str, now_ms: int
) -> MembershipAnswer:
    """404 for customers of whom nothing is known, unless they are on the list."""
    row = await queries.get_audience(connection, org_id, audience_id)
    subject = readable_subject(user_id)
    if row.rule is None:
        return await _listed(connection, row, subject)
    rules = (await read_audiences(connection, org_id)).usable_rules
    rule = rules.get(str(audience_id))
    if rule is None:
        raise _broken()
    with _told_when_too_slow():
        async with limited(connection, EXACT_TIMEOUT_MS):
            leaves = await membership_of(connection, org_id, subject, rule, rules, now_ms)
    if leaves is None:
        raise not_found()
    return _explained(rule, leaves)


async def _listed(connection: AsyncConnection, row: Row[Any], subject: str) -> MembershipAnswer:
    member = await member_queries.is_listed(connection, row.org_id, row.id, subject)
    if not member and await select_customer(connection, row.org_id, subject) is None:
        raise not_found()
    return MembershipAnswer(member=member, conditions=[])


def _explained(rule: Rule, leaves: Sequence[LeafResult]) -> MembershipAnswer:
    leaf_holds = {leaf.pointer: leaf.holds for leaf in leaves}.__getitem__
    reasons = frozenset(deciding(rule, leaf_holds))
    conditions = [
        ConditionHeld(pointer=leaf.pointer, condition=leaf.condition, holds=leaf.holds, decides=leaf.pointer in reasons)
        for leaf in leaves
    ]
    return MembershipAnswer(member=holds(rule, leaf_holds), conditions=conditions)


@contextmanager
def _told_when_too_slow() -> Iterator[None]:
    try:
        yield
    except TooSlowError:
        message = "This takes too long for an answer; ask for fewer members at once, narrow the rule, or try again."
        raise ApiError(503, "query_timed_out", message, headers={"Retry-After": "10"}) from None


def _broken() -> ApiError:
    message = "This audience's rule cannot be used, so nobody is in it; its problems say why."
    return conflict("audience_unusable", message)


async def change_members(
    connection: AsyncConnection, actor: Actor, audience_id: UUID, payload: object, now_ms: int
) -> int:
    """The id of the inbox row with which the recorder is asked."""
    given = payloads.json_object(payload)
    row = await queries.get_audience(connection, actor.org_id, audience_id)
    if row.rule is not None:
        raise conflict(
            "audience_has_rule", "This audience's members follow from its rule; only a static one is listed."
        )
    change = payloads.read(MembersChange, given)
    if problems := list(_change_problems(change)):
        raise invalid_payload(problems)
    counts = {"added": (None, len(change.add)), "removed": (None, len(change.remove))}
    target = Target("audience", str(audience_id))
    await audit.record(connection, actor, "audience.members", target, counts, now_ms)
    add, remove = map(subjects.user, change.add), map(subjects.user, change.remove)
    return await inbox.ask_members(connection, actor.org_id, audience_id, list(add), list(remove), now_ms)


async def count_members(connection: AsyncConnection, org_id: UUID, audience_id: UUID) -> int:
    """Of a static audience."""
    return await member_queries.list_length(connection, member_queries.listed(org_id, audience_id))


def _change_problems(change: MembersChange) -> Iterator[Problem]:
    if len(change.add) + len(change.remove) > MAX_MEMBERS_AT_ONCE:
        yield Problem("", "too_long", f"Change at most {MAX_MEMBERS_AT_ONCE:,} members at once.")
    if set(change.add) & set(change.remove):
        yield Problem("/remove", "duplicate", "Nobody can be added and removed at once.")
