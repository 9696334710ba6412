"""Listing an audience's members, and changing those of a static one. Each function raises ApiError."""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from admin import payloads
from admin.answers import Page
from admin.audiences import member_queries, queries
from admin.audiences.schemas import MAX_MEMBERS_AT_ONCE, MembersChange
from admin.audit import service as audit
from admin.audit.service import Actor, Target
from admin.errors import conflict
from admin.paging import PageQuery
from admin.subjects import CustomerRef
from service.errors import invalid_payload
from store import inbox
from wire import subjects
from wire.problems import Problem


async def list_members(
    connection: AsyncConnection, org_id: UUID, audience_id: UUID, query: PageQuery, now_ms: int
) -> Page[CustomerRef]:
    row = await queries.get_audience(connection, org_id, audience_id)
    found = await member_queries.of_audience(connection, row, now_ms)
    return await member_queries.listing(connection, found, query.cursor, query.limit)


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
    return await member_queries.count(connection, member_queries.listed(org_id, audience_id))


def _change_problems(change: MembersChange) -> Iterator[Problem]:
    if len(change.add) + len(change.remove) > MAX_MEMBERS_AT_ONCE:
        yield Problem("", "too_long", f"Change at most {MAX_MEMBERS_AT_ONCE:,} members at once.")
    if set(change.add) & set(change.remove):
        yield Problem("/remove", "duplicate", "Nobody can be added and removed at once.")
