"""What customers have done with messages: impressions, hourly statistics, and the counts behind frequency caps."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.customers import CustomerKey, key_arrays
from wire import codec, events
from wire.codec import DecodeError
from wire.events import Event
from wire.userstate import RECENT_IMPRESSIONS

_HOUR_MS = 3_600_000


class SeenKey(NamedTuple):
    org_id: UUID
    subject: str
    message_id: UUID


class HourKey(NamedTuple):
    org_id: UUID
    message_id: UUID
    hour_ms: int


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


class MessageEvent(NamedTuple):
    """An event about a message that the org has."""

    owner: CustomerKey
    message_id: UUID
    event: Event

    @property
    def seen_key(self) -> SeenKey:
        return SeenKey(*self.owner, self.message_id)

    @property
    def hour_key(self) -> HourKey:
        occurred_ms = self.event.occurred_ms
        return HourKey(self.owner.org_id, self.message_id, occurred_ms - occurred_ms % _HOUR_MS)


def message_id(event: Event) -> UUID | None:
    """The message that an event is about; None when it is about none, or does not say."""
    if event.type not in events.MESSAGE_EVENTS:
        return None
    try:
        return UUID(codec.from_json(event.properties)["messageId"])
    except (DecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None


_KNOWN = text("SELECT org_id, id FROM in_app_messages WHERE id = ANY(CAST(:ids AS uuid[]))")

_ADD_IMPRESSIONS = text(
    """
    INSERT INTO in_app_message_impressions (org_id, id, message_id, subject, occurred_ms, received_ms)
    SELECT * FROM unnest(
        CAST(:org_ids AS uuid[]), CAST(:ids AS uuid[]), CAST(:message_ids AS uuid[]), CAST(:subjects AS text[]),
        CAST(:occurred_ms AS bigint[]), CAST(:received_ms AS bigint[])
    )
    """
)

_ADD_STATS = text(
    """
    INSERT INTO message_stats_hourly AS stats (org_id, message_id, hour_ms, impressions, clicks, dismissals)
    SELECT * FROM unnest(
        CAST(:org_ids AS uuid[]), CAST(:message_ids AS uuid[]), CAST(:hours_ms AS bigint[]),
        CAST(:impressions AS bigint[]), CAST(:clicks AS bigint[]), CAST(:dismissals AS bigint[])
    )
    ON CONFLICT (org_id, message_id, hour_ms) DO UPDATE SET
        impressions = stats.impressions + excluded.impressions,
        clicks = stats.clicks + excluded.clicks,
        dismissals = stats.dismissals + excluded.dismissals
    """
)

_ADD_SEEN = text(
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

_TAKE_SEEN = text(
    """
    DELETE FROM message_user_state AS state
    USING unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)
    WHERE state.org_id = asked.org_id AND state.subject = asked.subject
    RETURNING state.*
    """
)


async def about_messages(connection: AsyncConnection, owned: Iterable[tuple[CustomerKey, Event]]) -> list[MessageEvent]:
    """Those of the events that are about a message that their org has."""
    named = [
        MessageEvent(owner, named_id, event) for owner, event in owned if (named_id := message_id(event)) is not None
    ]
    if not named:
        return []
    pairs = list({(item.owner.org_id, item.message_id) for item in named})
    rows = await connection.execute(
        _KNOWN, {"org_ids": [pair[0] for pair in pairs], "ids": [pair[1] for pair in pairs]}
    )
    known = {(org_id, id_) for org_id, id_ in rows}
    return [item for item in named if (item.owner.org_id, item.message_id) in known]


async def record(connection: AsyncConnection, new: Collection[MessageEvent]) -> None:
    """Impressions, statistics and counts for events that were stored just now."""
    if not new:
        return
    await _add_impressions(connection, [item for item in new if item.event.type == events.IMPRESSION])
    await _add_stats(connection, new)
    await add_seen(connection, tallies(new))


def tallies(items: Iterable[MessageEvent]) -> dict[SeenKey, Tally]:
    counted: defaultdict[SeenKey, Tally] = defaultdict(Tally)
    for item in items:
        counted[item.seen_key].count(item.event)
    return counted


async def add_seen(connection: AsyncConnection, added: Mapping[SeenKey, Tally]) -> None:
    """Adds to the counts of customers that the transaction holds."""
    if not added:
        return
    listed = added.values()
    columns: dict[str, Any] = {
        "message_ids": [key.message_id for key in added],
        "impressions": [tally.impressions for tally in listed],
        "clicks": [tally.clicks for tally in listed],
        "dismissals": [tally.dismissals for tally in listed],
        "recent_ms": [_array(tally.newest) for tally in listed],
        "kept": RECENT_IMPRESSIONS,
    }
    keys = key_arrays(CustomerKey(key.org_id, key.subject) for key in added)
    await connection.execute(_ADD_SEEN, keys | columns)


async def move_seen(connection: AsyncConnection, claims: Mapping[CustomerKey, CustomerKey]) -> None:
    """Adds the counts of each key to those of its value."""
    moved: defaultdict[SeenKey, Tally] = defaultdict(Tally)
    for row in await connection.execute(_TAKE_SEEN, key_arrays(claims)):
        owner = claims[CustomerKey(row.org_id, row.subject)]
        moved[SeenKey(*owner, row.message_id)].add(row.impressions, row.clicks, row.dismissals, row.recent_ms)
    await add_seen(connection, moved)


async def drop_seen(connection: AsyncConnection, key: CustomerKey) -> None:
    await connection.execute(_TAKE_SEEN, key_arrays([key]))


async def _add_impressions(connection: AsyncConnection, new: Collection[MessageEvent]) -> None:
    if not new:
        return
    columns = {
        "ids": [item.event.id for item in new],
        "message_ids": [item.message_id for item in new],
        "occurred_ms": [item.event.occurred_ms for item in new],
        "received_ms": [item.event.received_ms for item in new],
    }
    await connection.execute(_ADD_IMPRESSIONS, key_arrays(item.owner for item in new) | columns)


async def _add_stats(connection: AsyncConnection, new: Iterable[MessageEvent]) -> None:
    counted: Counter[tuple[HourKey, str]] = Counter((item.hour_key, item.event.type) for item in new)
    hours = sorted({key for key, _ in counted})  # one order for all, so that transactions do not dead-lock
    columns = {
        "org_ids": [key.org_id for key in hours],
        "message_ids": [key.message_id for key in hours],
        "hours_ms": [key.hour_ms for key in hours],
        "impressions": [counted[key, events.IMPRESSION] for key in hours],
        "clicks": [counted[key, events.CLICKED] for key in hours],
        "dismissals": [counted[key, events.DISMISSED] for key in hours],
    }
    await connection.execute(_ADD_STATS, columns)


def _array(moments_ms: Iterable[int]) -> str:
    """A Postgres array literal: `unnest` cannot take lists of different lengths."""
    return "{" + ",".join(map(str, moments_ms)) + "}"
