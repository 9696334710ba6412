"""Claims: an anonymous id becomes a user's, with all that it saw and did. The first claim stands."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.features import rings
from recorder.features.rings import WatchedByOrg
from recorder.rows import customers, seen_counts
from recorder.rows.customers import Change, CustomerKey, key_arrays
from wire import subjects
from wire.events import Event
from wire.userstate import MOST_ALIASES


@dataclass(frozen=True, slots=True)
class Claim:
    visitor: CustomerKey
    user: CustomerKey
    claimed_ms: int


class Moved(NamedTuple):
    """What claims do to their users: changes of their rows, and who has now seen more."""

    changes: dict[CustomerKey, Change]
    seen: set[CustomerKey]


_STORED = text(
    """
    SELECT events.org_id, events.id
    FROM events
    JOIN unnest(CAST(:org_ids AS uuid[]), CAST(:ids AS uuid[])) AS asked (org_id, id)
    ON events.org_id = asked.org_id AND events.id = asked.id
    """
)

_ALIASES = text(
    """
    SELECT aliases.org_id, aliases.subject, aliases.anonymous_id
    FROM customer_aliases AS aliases
    JOIN unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)
    ON aliases.org_id = asked.org_id AND aliases.subject = asked.subject
    """
)

_ADD_ALIASES = text(
    """
    INSERT INTO customer_aliases (org_id, anonymous_id, subject, claimed_ms)
    SELECT org_id, substr(visitor, 3), claimer, claimed_ms
    FROM unnest(
        CAST(:org_ids AS uuid[]), CAST(:visitors AS text[]), CAST(:users AS text[]), CAST(:claimed_ms AS bigint[])
    ) AS claim (org_id, visitor, claimer, claimed_ms)
    """
)

_MOVE_EVENTS = text(
    """
    UPDATE events SET subject = claim.claimer
    FROM unnest(CAST(:org_ids AS uuid[]), CAST(:visitors AS text[]), CAST(:users AS text[]))
        AS claim (org_id, visitor, claimer)
    WHERE events.org_id = claim.org_id AND events.subject = claim.visitor
    """
)

_MOVE_IMPRESSIONS = text(
    """
    UPDATE in_app_message_impressions AS impressions SET subject = claim.claimer
    FROM unnest(CAST(:org_ids AS uuid[]), CAST(:visitors AS text[]), CAST(:users AS text[]))
        AS claim (org_id, visitor, claimer)
    WHERE impressions.org_id = claim.org_id AND impressions.subject = claim.visitor
    """
)

_MOVE_MEMBERSHIPS = text(
    """
    WITH moved AS (
        DELETE FROM audience_members AS members
        USING unnest(CAST(:org_ids AS uuid[]), CAST(:visitors AS text[]), CAST(:users AS text[]))
            AS claim (org_id, visitor, claimer)
        WHERE members.org_id = claim.org_id AND members.subject = claim.visitor
        RETURNING members.org_id, members.audience_id, claim.claimer
    ), standing AS (
        SELECT org_id, id FROM audiences WHERE (org_id, id) IN (SELECT org_id, audience_id FROM moved) FOR KEY SHARE
    )
    INSERT INTO audience_members (org_id, audience_id, subject)
    SELECT moved.org_id, moved.audience_id, moved.claimer
    FROM moved JOIN standing ON standing.org_id = moved.org_id AND standing.id = moved.audience_id
    ON CONFLICT DO NOTHING
    """
)


def claimed_visitor(event: Event) -> CustomerKey | None:
    """The anonymous visitor whom an event claims for its user."""
    return None if event.claims is None else CustomerKey(event.org_id, subjects.anonymous(event.claims))


async def first_claims(connection: AsyncConnection, candidates: Iterable[Event]) -> list[Claim]:
    """The claims that stand, of events in their order about visitors that nobody has claimed yet.

    An event that is stored already is a re-sent one and claims nothing; nor does one whose user has MOST_ALIASES.
    """
    listed = list(candidates)
    if not listed:
        return []
    asked = {"org_ids": [event.org_id for event in listed], "ids": [event.id for event in listed]}
    stored = {(org_id, id_) for org_id, id_ in await connection.execute(_STORED, asked)}
    held = await _alias_counts(connection, {CustomerKey(event.org_id, event.subject) for event in listed})
    claims: dict[CustomerKey, Claim] = {}
    for event in listed:
        visitor, user = claimed_visitor(event), CustomerKey(event.org_id, event.subject)
        if visitor is None or visitor in claims or (event.org_id, event.id) in stored or held[user] >= MOST_ALIASES:
            continue
        claims[visitor] = Claim(visitor, user, event.received_ms)
        held[user] += 1
    return list(claims.values())


async def visitors_of(connection: AsyncConnection, users: Collection[CustomerKey]) -> set[CustomerKey]:
    """The anonymous visitors that these users have claimed."""
    if not users:
        return set()
    rows = await connection.execute(_ALIASES, key_arrays(users))
    return {CustomerKey(row.org_id, subjects.anonymous(row.anonymous_id)) for row in rows}


async def apply(connection: AsyncConnection, claims: list[Claim], watched: WatchedByOrg) -> Moved:
    """Moves everything of each visitor to its user."""
    if not claims:
        return Moved({}, set())
    moved = _arrays(claims)
    await connection.execute(_ADD_ALIASES, moved | {"claimed_ms": [claim.claimed_ms for claim in claims]})
    for statement in (_MOVE_EVENTS, _MOVE_IMPRESSIONS, _MOVE_MEMBERSHIPS):
        await connection.execute(statement, moved)
    users = {claim.visitor: claim.user for claim in claims}
    seen = await seen_counts.move(connection, users)
    await rings.move(connection, users, watched)
    changes = await _merged(connection, claims)
    await customers.delete(connection, [claim.visitor for claim in claims])
    return Moved(changes, seen)


async def _alias_counts(connection: AsyncConnection, users: Collection[CustomerKey]) -> Counter[CustomerKey]:
    rows = await connection.execute(_ALIASES, key_arrays(users))
    return Counter(CustomerKey(row.org_id, row.subject) for row in rows)


async def _merged(connection: AsyncConnection, claims: list[Claim]) -> dict[CustomerKey, Change]:
    keys = {claim.visitor for claim in claims} | {claim.user for claim in claims}
    held = await customers.read(connection, keys)
    changes: dict[CustomerKey, Change] = {}
    for claim in claims:
        visitor, user = held[claim.visitor], held[claim.user]
        change = changes.setdefault(claim.user, Change(user.created_ms, user.last_seen_ms, True, user.traits))
        change.cover(visitor.created_ms, visitor.last_seen_ms)
        user.traits.merge(visitor.traits)
    return changes


def _arrays(claims: list[Claim]) -> dict[str, Any]:
    return {
        "org_ids": [claim.user.org_id for claim in claims],
        "visitors": [claim.visitor.subject for claim in claims],
        "users": [claim.user.subject for claim in claims],
    }
