"""Rows of `message_user_state`: what each customer has seen of each message, which frequency caps are about."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.rows.customers import CustomerKey, array_literal, key_arrays
from recorder.rows.message_events import MessageEvent
from wire import events
from wire.events import Event
from wire.userstate import RECENT_IMPRESSIONS


class SeenKey(NamedTuple):
    org_id: UUID
    subject: str
    message_id: UUID


@dataclass(slots=True)
class Tally:
    """How often each kind of message event happened; `recent_ms`: the moments of the impressions."""

    impressions: int = 0
    clicks: int = 0
    dismissals: int = 0
    recent_ms: list[int] = field(default_factory=list)

    def count(self, event: Event) -> None:
        if event.type == events.IMPRESSION:
            self.impressions += 1
            self.recent_ms.append(event.occurred_ms)
        elif event.type == events.CLICKED:
            self.clicks += 1
        else:
            self.dismissals += 1

    def add(self, impressions: int, clicks: int, dismissals: int, recent_ms: Iterable[int]) -> None:
        self.impressions += impressions
        self.clicks += clicks
        self.dismissals += dismissals
        self.recent_ms.extend(recent_ms)

    @property
    def newest(self) -> list[int]:
        return sorted(self.recent_ms, reverse=True)[:RECENT_IMPRESSIONS]


_ADD = text(
    """
    INSERT INTO message_user_state AS state
        (org_id, subject, message_id, impressions, clicks, dismissals, recent_ms)
    SELECT org_id, subject, message_id, impressions, clicks, dismissals, CAST(recent_ms AS bigint[])
    FROM unnest(
        CAST(:org_ids AS uuid[]), CAST(:subjects AS text[]), CAST(:message_ids AS uuid[]),
        CAST(:impressions AS integer[]), CAST(:clicks AS integer[]), CAST(:dismissals AS integer[]),
        CAST(:recent_ms AS text[])
    ) AS added (org_id, subject, message_id, impressions, clicks, dismissals, recent_ms)
    ON CONFLICT (org_id, subject, message_id) DO UPDATE SET
        impressions = state.impressions + excluded.impressions,
        clicks = state.clicks + excluded.clicks,
        dismissals = state.dismissals + excluded.dismissals,
        recent_ms = ARRAY(
            SELECT moment_ms FROM unnest(state.recent_ms || excluded.recent_ms) AS moments (moment_ms)
            ORDER BY moment_ms DESC LIMIT :kept
        )
    """
)

_TAKE = text(
    """
    DELETE FROM message_user_state AS state
    USING unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)
    WHERE state.org_id = asked.org_id AND state.subject = asked.subject
    RETURNING state.*
    """
)


async def add(connection: AsyncConnection, new: Iterable[MessageEvent]) -> None:
    """Counts events, of customers that the transaction holds."""
    counted: defaultdict[SeenKey, Tally] = defaultdict(Tally)
    for item in new:
        counted[SeenKey(*item.owner, item.message_id)].count(item.event)
    await _add(connection, counted)


async def move(connection: AsyncConnection, claims: Mapping[CustomerKey, CustomerKey]) -> set[CustomerKey]:
    """Adds the counts of each key to those of its value; returns the values that this changes."""
    moved: defaultdict[SeenKey, Tally] = defaultdict(Tally)
    for row in await connection.execute(_TAKE, key_arrays(claims)):
        owner = claims[CustomerKey(row.org_id, row.subject)]
        moved[SeenKey(*owner, row.message_id)].add(row.impressions, row.clicks, row.dismissals, row.recent_ms)
    await _add(connection, moved)
    return {CustomerKey(key.org_id, key.subject) for key in moved}


async def drop(connection: AsyncConnection, key: CustomerKey) -> None:
    """Forgets all that a customer has seen."""
    await connection.execute(_TAKE, key_arrays([key]))


async def _add(connection: AsyncConnection, added: Mapping[SeenKey, Tally]) -> None:
    if not added:
        return
    listed = added.values()
    columns: dict[str, Any] = {
        "message_ids": [key.message_id for key in added],
        "impressions": [tally.impressions for tally in listed],
        "clicks": [tally.clicks for tally in listed],
        "dismissals": [tally.dismissals for tally in listed],
        "recent_ms": [array_literal(tally.newest) for tally in listed],
        "kept": RECENT_IMPRESSIONS,
    }
    keys = key_arrays(CustomerKey(key.org_id, key.subject) for key in added)
    await connection.execute(_ADD, keys | columns)
