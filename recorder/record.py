"""The one transaction: events into Postgres, exactly once.

Which features there are is locked first, then customers in the order of their keys. Only then are features, aliases
and tombstones read, so that nothing can change under us. Only events that were not stored before touch anything else:
a batch that is sent again changes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from recorder import claims
from recorder.features import lock as feature_lock
from recorder.features import rings, watched
from recorder.goals import conversions, fresh
from recorder.rows import (
    customers,
    event_rows,
    hourly_stats,
    impressions,
    message_events,
    rejected,
    seen_counts,
    tombstones,
)
from recorder.rows.customers import Change, CustomerKey, Locked
from recorder.rows.event_rows import Owned
from recorder.rows.properties import Properties, PropertiesOnce
from recorder.rows.rejected import ERASED, Lost
from recorder.rows.tombstones import Tombstones
from wire import events
from wire.events import Event

_NOT_SEEN_MS = 0


@dataclass(slots=True)
class Recorded:
    """What a transaction did. `touched`: everybody whose state changed, or may have when the events came first."""

    touched: set[CustomerKey] = field(default_factory=set)
    stored: int = 0
    duplicates: int = 0
    impressions: int = 0
    claims: int = 0
    erased: int = 0
    traits_dropped: Counter[UUID] = field(default_factory=Counter)
    """By org: writes of traits that customers had no room for."""

    def add(self, other: "Recorded") -> None:
        self.touched |= other.touched
        self.stored += other.stored
        self.duplicates += other.duplicates
        self.impressions += other.impressions
        self.claims += other.claims
        self.erased += other.erased
        self.traits_dropped += other.traits_dropped


async def record(connection: AsyncConnection, batch: Sequence[Event], now_ms: int) -> Recorded:
    """Raises AliasesMovedError, and what Postgres raises; then nothing of the transaction may be committed."""
    named = [(CustomerKey(event.org_id, event.subject), event) for event in in_order(batch)]
    first_seen = _first_seen(named)
    org_ids = {key.org_id for key in first_seen}
    await feature_lock.share(connection, org_ids)
    locked = await customers.lock(connection, first_seen)
    features = await watched.read(connection, org_ids)
    erasures = await tombstones.read(connection, first_seen)
    erased = [(key, event) for key, event in named if tombstones.covers(erasures, key, event.received_ms)]
    living = _without(named, erased)
    made = await claims.first_claims(connection, _claiming(living, locked, erasures))
    moved = {claim.visitor: claim.user for claim in made}
    learnt = await fresh.begin(connection, org_ids, moved)
    changes, seen = await claims.apply(connection, made, features)
    owners = {**locked.aliases, **moved}
    owned = [(owners.get(key, key), event) for key, event in living] if owners else living
    new = await event_rows.add(connection, owned)
    again = _without(owned, new)
    about_messages = await message_events.among(connection, new)
    shown = await impressions.add(connection, about_messages)
    await seen_counts.add(connection, about_messages)
    learnt.add(about_messages, new)
    properties = PropertiesOnce()
    converted = await conversions.add(connection, learnt, moved, properties)
    await hourly_stats.add(connection, about_messages, converted)
    ringed = await rings.add(connection, rings.moments_of(new, features, properties), features)
    await _write_traits(connection, new, changes, properties)
    _note_visits(new, locked.new | ringed | {item.owner for item in about_messages}, changes)
    await customers.save(connection, changes)
    await customers.delete(connection, locked.new - changes.keys())
    visitors = await claims.visitors_of(connection, seen | _may_have_seen_more(new, again))
    quiet = _quiet(changes, [*erased, *again])
    lost = [Lost(key.org_id, event.id, ERASED) for key, event in erased]
    return Recorded(
        touched={key for key in (*first_seen, *owners.values()) if owners.get(key, key) not in quiet} | visitors,
        stored=len(new),
        duplicates=len(again) + len(batch) - len(named),
        impressions=shown,
        claims=len(made),
        erased=len(await rejected.add(connection, lost, now_ms)),
        traits_dropped=_traits_dropped(changes),
    )


def in_order(batch: Iterable[Event]) -> list[Event]:
    """By the moment of acceptance, then as they came; of an event that comes twice, the first."""
    ordered = sorted(batch, key=lambda event: event.received_ms)
    first: dict[tuple[UUID, bytes], Event] = {}
    for event in ordered:
        first.setdefault((event.org_id, event.id_bytes), event)
    return list(first.values())


def _first_seen(named: Iterable[Owned]) -> dict[CustomerKey, int]:
    """Everybody whom the events are about, anonymous visitors that they claim included."""
    first: dict[CustomerKey, int] = {}
    for key, event in named:
        first.setdefault(key, event.received_ms)
        visitor = claims.claimed_visitor(event)
        if visitor is not None:
            first.setdefault(visitor, event.received_ms)
    return first


def _claiming(living: Iterable[Owned], locked: Locked, erasures: Tombstones) -> list[Event]:
    """Events that claim somebody who is still free, and was not erased since."""
    return [
        event
        for _, event in living
        if (visitor := claims.claimed_visitor(event)) is not None
        and visitor not in locked.aliases
        and not tombstones.covers(erasures, visitor, event.received_ms)
    ]


def _without(owned: list[Owned], some: Sequence[Owned]) -> list[Owned]:
    """Those of the events that are not among `some` of them."""
    if not some or len(some) == len(owned):
        return [] if some else owned
    taken = {id(event) for _, event in some}
    return [item for item in owned if id(item[1]) not in taken]


async def _write_traits(
    connection: AsyncConnection, new: Iterable[Owned], changes: dict[CustomerKey, Change], properties: Properties
) -> None:
    """Lays events that set traits over the traits of their customers, in `changes`."""
    writes = [(owner, event) for owner, event in new if event.type in events.SETS_TRAITS]
    held = await customers.read(connection, {owner for owner, _ in writes} - changes.keys())
    for owner, event in writes:
        if owner not in changes:
            customer = held[owner]
            changes[owner] = Change(customer.created_ms, customer.last_seen_ms, traits=customer.traits)
        traits = changes[owner].traits
        if traits is not None and traits.write(properties(event), event):
            changes[owner].moves = True


def _may_have_seen_more(new: Iterable[Owned], again: Iterable[Owned]) -> set[CustomerKey]:
    """Whose claimed visitors may need their states anew: by events about messages, or by claims that come again."""
    return {owner for owner, event in new if event.type in events.MESSAGE_EVENTS} | {
        owner for owner, event in again if event.type in events.MESSAGE_EVENTS or event.claims is not None
    }


def _quiet(changes: Mapping[CustomerKey, Change], told_before: Iterable[Owned]) -> set[CustomerKey]:
    """Whose states stay as they are, and were not moved by these events before: then that may not be projected yet."""
    return {key for key, change in changes.items() if not change.moves} - {owner for owner, _ in told_before}


def _traits_dropped(changes: Mapping[CustomerKey, Change]) -> Counter[UUID]:
    dropped: Counter[UUID] = Counter()
    for key, change in changes.items():
        if change.traits is not None and change.traits.dropped:
            dropped[key.org_id] += change.traits.dropped
    return dropped


def _note_visits(new: Iterable[Owned], moved: Set[CustomerKey], changes: dict[CustomerKey, Change]) -> None:
    """Notes in `changes` when customers were here, and whose state the events move."""
    for owner, event in new:
        seen_ms = _NOT_SEEN_MS if event.type == events.UPDATED else event.occurred_ms
        change = changes.setdefault(owner, Change(event.received_ms, seen_ms))
        change.cover(event.received_ms, seen_ms)
        change.moves = change.moves or owner in moved
