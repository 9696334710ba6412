"""Looking for events that reach goals.

What is new looks for what is stored: events for impressions before them, impressions for events after them. Nobody's
history costs more than MOST_SEARCHED rows a look: of somebody who did what a goal counts more often than that since an
impression, each time with other properties than the goal asks for, an event that was stored before is not found.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder import goals
from recorder.customers import CustomerKey, key_arrays
from recorder.event_rows import Owned, event_of
from recorder.fresh import Fresh, Shown
from recorder.goals import Goal, Goals, MessageKey
from recorder.properties import Properties, read_properties
from recorder.seen_counts import SeenKey

MOST_SEARCHED = 1_000


class Conversion(NamedTuple):
    """The earlier is the lesser."""

    occurred_ms: int
    event_id: UUID


class Span(NamedTuple):
    """Both ends count."""

    since_ms: int
    until_ms: int


Aims = Mapping[CustomerKey, Mapping[UUID, Goal]]
"""By person and message: goals of messages that they have seen, and that they have not reached yet."""

Found = tuple[SeenKey, Conversion]

# OFFSET 0, or Postgres may read everybody who has seen the messages.
_OPEN = text(
    """
    SELECT asked.org_id, asked.subject, seen.message_id
    FROM unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)
    CROSS JOIN LATERAL (
        SELECT state.message_id
        FROM message_user_state AS state
        WHERE state.org_id = asked.org_id AND state.subject = asked.subject AND state.impressions > 0 AND NOT EXISTS (
            SELECT FROM in_app_message_conversions AS conversions
            WHERE conversions.org_id = state.org_id AND conversions.message_id = state.message_id
                AND conversions.subject = state.subject
        )
        OFFSET 0
    ) AS seen
    WHERE seen.message_id = ANY(CAST(:message_ids AS uuid[]))
    """
)

_AFTER_AN_IMPRESSION = text(
    """
    SELECT asked.org_id, asked.subject, asked.message_id, asked.event_id, asked.occurred_ms
    FROM unnest(
        CAST(:org_ids AS uuid[]), CAST(:subjects AS text[]), CAST(:message_ids AS uuid[]), CAST(:event_ids AS uuid[]),
        CAST(:occurred_ms AS bigint[]), CAST(:since_ms AS bigint[])
    ) AS asked (org_id, subject, message_id, event_id, occurred_ms, since_ms)
    CROSS JOIN LATERAL (
        SELECT FROM in_app_message_impressions AS impressions
        WHERE impressions.org_id = asked.org_id AND impressions.subject = asked.subject
            AND impressions.message_id = asked.message_id
            AND impressions.occurred_ms BETWEEN asked.since_ms AND asked.occurred_ms
        LIMIT 1
    ) AS shown
    """
)

_DONE_WITHIN = text(
    """
    SELECT asked.org_id, asked.subject, asked.message_id, asked.type, done.*
    FROM unnest(
        CAST(:org_ids AS uuid[]), CAST(:subjects AS text[]), CAST(:message_ids AS uuid[]), CAST(:types AS text[]),
        CAST(:since_ms AS bigint[]), CAST(:until_ms AS bigint[])
    ) AS asked (org_id, subject, message_id, type, since_ms, until_ms)
    CROSS JOIN LATERAL (
        SELECT id, occurred_ms, received_ms, CAST(properties AS text) AS properties
        FROM events
        WHERE events.org_id = asked.org_id AND events.subject = asked.subject AND events.type = asked.type
            AND events.occurred_ms BETWEEN asked.since_ms AND asked.until_ms
        ORDER BY occurred_ms
        LIMIT :most
    ) AS done
    """
)


async def first_reached(connection: AsyncConnection, fresh: Fresh, properties: Properties) -> dict[SeenKey, Conversion]:
    """Who reaches which goal by what is new, and first by which event. Who has converted already is left out."""
    owners = {owner for owner, _ in fresh.done} | {_owner(shown.seen) for shown in fresh.shown}
    if not owners:
        return {}
    types, message_ids = {event.type for _, event in fresh.done}, {shown.seen.message_id for shown in fresh.shown}
    known = await goals.concerned(connection, fresh.org_ids, types, message_ids)
    aims = await _aims(connection, owners, known) if known else {}
    if not aims:
        return {}
    first: dict[SeenKey, Conversion] = {}
    for seen, conversion in [
        *await _by_new_events(connection, fresh.done, aims, properties),
        *await _by_new_impressions(connection, fresh.shown, aims),
    ]:
        first[seen] = min(conversion, first.get(seen, conversion))
    return first


async def _aims(connection: AsyncConnection, owners: Iterable[CustomerKey], known: Goals) -> Aims:
    asked = key_arrays(owners) | {"message_ids": [key.message_id for key in known]}
    aims: defaultdict[CustomerKey, dict[UUID, Goal]] = defaultdict(dict)
    for org_id, subject, message_id in await connection.execute(_OPEN, asked):
        aims[CustomerKey(org_id, subject)][message_id] = known[MessageKey(org_id, message_id)]
    return aims


async def _by_new_events(
    connection: AsyncConnection, done: Iterable[Owned], aims: Aims, properties: Properties
) -> list[Found]:
    asked = [
        (SeenKey(*owner, message_id), event.id, event.occurred_ms, event.occurred_ms - goal.within_ms)
        for owner, event in done
        for message_id, goal in aims.get(owner, {}).items()
        if goal.event_type == event.type and goal.is_reached_with(properties(event))
    ]
    if not asked:
        return []
    columns = {
        "event_ids": [event_id for _, event_id, _, _ in asked],
        "occurred_ms": [occurred_ms for _, _, occurred_ms, _ in asked],
        "since_ms": [since_ms for _, _, _, since_ms in asked],
    }
    rows = await connection.execute(_AFTER_AN_IMPRESSION, seen_arrays([seen for seen, *_ in asked]) | columns)
    return [(SeenKey(*row[:3]), Conversion(row.occurred_ms, row.event_id)) for row in rows]


async def _by_new_impressions(connection: AsyncConnection, shown: Iterable[Shown], aims: Aims) -> list[Found]:
    moments_ms: defaultdict[SeenKey, list[int]] = defaultdict(list)
    for seen, occurred_ms in shown:
        if seen.message_id in aims.get(_owner(seen), {}):
            moments_ms[seen].append(occurred_ms)
    goal_of = {seen: aims[_owner(seen)][seen.message_id] for seen in moments_ms}
    asked = [(seen, span) for seen, goal in goal_of.items() for span in spans(moments_ms[seen], goal.within_ms)]
    if not asked:
        return []
    columns = {
        "types": [goal_of[seen].event_type for seen, _ in asked],
        "since_ms": [span.since_ms for _, span in asked],
        "until_ms": [span.until_ms for _, span in asked],
        "most": MOST_SEARCHED,
    }
    rows = await connection.execute(_DONE_WITHIN, seen_arrays([seen for seen, _ in asked]) | columns)
    return [
        (seen, Conversion(row.occurred_ms, row.id))
        for row in rows
        if goal_of[seen := SeenKey(*row[:3])].is_reached_with(read_properties(event_of(row, row.org_id)))
    ]


def spans(starts_ms: Iterable[int], length_ms: int) -> list[Span]:
    """The times at most `length_ms` after one of the moments, in order and apart from each other."""
    joined: list[Span] = []
    for start_ms in sorted(starts_ms):
        if joined and start_ms <= joined[-1].until_ms:
            joined[-1] = Span(joined[-1].since_ms, start_ms + length_ms)
        else:
            joined.append(Span(start_ms, start_ms + length_ms))
    return joined


def seen_arrays(seen: Collection[SeenKey]) -> dict[str, Any]:
    """Parameters `org_ids`, `subjects` and `message_ids` for `unnest`."""
    return key_arrays(map(_owner, seen)) | {"message_ids": [key.message_id for key in seen]}


def _owner(seen: SeenKey) -> CustomerKey:
    return CustomerKey(seen.org_id, seen.subject)
