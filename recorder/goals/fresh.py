"""What a transaction learns about people who may reach goals: impressions of theirs, and what they did."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.goals import stored as goals
from recorder.rows.customers import CustomerKey, key_arrays
from recorder.rows.event_rows import Owned
from recorder.rows.message_events import MessageEvent
from recorder.rows.seen_counts import SeenKey
from wire import events

MOST_CARRIED = 1_000
"""Impressions of one visitor, and events of one visitor and type, that a claim looks at: the newest."""

MOST_CARRIED_AT_ONCE = 100_000
"""Of each type and all visitors together, where a transaction claims so many that they share it."""


class Shown(NamedTuple):
    """An impression."""

    seen: SeenKey
    occurred_ms: int


class Done(NamedTuple):
    """An event that was stored before; its properties, which may be large, stay there."""

    owner: CustomerKey
    event_id: UUID
    type: str
    occurred_ms: int


@dataclass(slots=True)
class Fresh:
    """`org_ids`: orgs of which a message has a goal; nothing is kept of the others.

    `done`: events that were stored just now; `carried`: those that come to their owner by a claim.
    """

    org_ids: Set[UUID]
    shown: list[Shown] = field(default_factory=list)
    done: list[Owned] = field(default_factory=list)
    carried: list[Done] = field(default_factory=list)

    def add(self, about_messages: Iterable[MessageEvent], done: Iterable[Owned]) -> None:
        """Events that were stored just now; the first are those among them that are about messages."""
        self.shown += [
            Shown(SeenKey(*item.owner, item.message_id), item.event.occurred_ms)
            for item in about_messages
            if item.event.type == events.IMPRESSION and item.owner.org_id in self.org_ids
        ]
        self.done += [(owner, event) for owner, event in done if owner.org_id in self.org_ids]

    def doers(self, types: Set[str]) -> set[CustomerKey]:
        """Who did something of these types."""
        return {owner for owner, event in self.done if event.type in types} | {
            each.owner for each in self.carried if each.type in types
        }

    def types(self) -> set[str]:
        """Of what they did."""
        return {event.type for _, event in self.done} | {each.type for each in self.carried}


_SHOWN_TO = text(
    """
    SELECT asked.org_id, asked.subject, shown.message_id, shown.occurred_ms
    FROM unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)
    CROSS JOIN LATERAL (
        SELECT impressions.message_id, impressions.occurred_ms
        FROM in_app_message_impressions AS impressions
        JOIN in_app_messages AS messages
            ON messages.org_id = impressions.org_id AND messages.id = impressions.message_id
        WHERE impressions.org_id = asked.org_id AND impressions.subject = asked.subject AND messages.goal IS NOT NULL
        ORDER BY impressions.occurred_ms DESC
        LIMIT :most
    ) AS shown
    """
)

_DONE_BY = text(
    """
    SELECT asked.org_id, asked.subject, done.*
    FROM unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)
    CROSS JOIN LATERAL (
        SELECT DISTINCT goal ->> 'eventType' AS type FROM in_app_messages AS messages
        WHERE messages.org_id = asked.org_id AND goal IS NOT NULL
    ) AS wanted
    CROSS JOIN LATERAL (
        SELECT id, events.type, occurred_ms
        FROM events
        WHERE events.org_id = asked.org_id AND events.subject = asked.subject AND events.type = wanted.type
        ORDER BY occurred_ms DESC
        LIMIT :most
    ) AS done
    """
)


async def begin(connection: AsyncConnection, org_ids: Set[UUID], moving: Mapping[CustomerKey, CustomerKey]) -> Fresh:
    """What the keys of `moving` saw and did until now, in the name of its values."""
    fresh = Fresh(await goals.orgs_with_any(connection, org_ids))
    visitors = [key for key in moving if key.org_id in fresh.org_ids]
    if not visitors:
        return fresh
    asked = key_arrays(visitors) | {"most": min(MOST_CARRIED, MOST_CARRIED_AT_ONCE // len(visitors) or 1)}
    for row in await connection.execute(_SHOWN_TO, asked):
        owner = moving[CustomerKey(row.org_id, row.subject)]
        fresh.shown.append(Shown(SeenKey(*owner, row.message_id), row.occurred_ms))
    for row in await connection.execute(_DONE_BY, asked):
        owner = moving[CustomerKey(row.org_id, row.subject)]
        fresh.carried.append(Done(owner, row.id, row.type, row.occurred_ms))
    return fresh
