"""The one transaction: events into Postgres, exactly once.

Customers are locked first, in the order of their keys. Only then are aliases and tombstones read, so that nothing
can change under us. Only events that were not stored before touch anything else: a batch that is sent again changes
nothing.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from recorder import claims, customers, event_rows, message_state, rejected, tombstones
from recorder.customers import Change, CustomerKey, Locked
from recorder.event_rows import Owned
from recorder.rejected import ERASED, Lost
from recorder.tombstones import Tombstones
from wire import codec, events
from wire.codec import DecodeError
from wire.events import Event


@dataclass(slots=True)
class Recorded:
    """What a transaction did. `touched`: whoever's state may have changed, now or when the events came first."""

    touched: set[CustomerKey] = field(default_factory=set)
    stored: int = 0
    duplicates: int = 0
    impressions: int = 0
    claims: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Recorded") -> None:
        self.touched |= other.touched
        self.stored += other.stored
        self.duplicates += other.duplicates
        self.impressions += other.impressions
        self.claims += other.claims
        self.lost += other.lost


async def record(connection: AsyncConnection, batch: Sequence[Event], now_ms: int) -> Recorded:
    """Raises AliasesMovedError, and what Postgres raises; then nothing of the transaction may be committed."""
    ordered = _in_order(batch)
    first_seen = _first_seen(ordered)
    locked = await customers.lock(connection, first_seen)
    graves = await tombstones.read(connection, first_seen.keys() | locked.aliases.values())
    made = await claims.first_claims(connection, _claiming(ordered, locked, graves))
    changes = await claims.apply(connection, made)
    owned = _owned(ordered, locked, {claim.visitor: claim.user for claim in made})
    living = [(owner, event) for owner, event in owned if not _is_erased(graves, owner, event)]
    new = await event_rows.add(connection, living)
    about_messages = await message_state.about_messages(connection, new)
    await message_state.record(connection, about_messages)
    await _change_customers(connection, new, locked.new, {item.owner for item in about_messages}, changes)
    await customers.delete(connection, locked.new - changes.keys() - {claim.visitor for claim in made})
    erased = [Lost(event.org_id, event.id, ERASED) for owner, event in owned if _is_erased(graves, owner, event)]
    lost = await rejected.add(connection, erased, now_ms)
    return Recorded(
        touched=first_seen.keys() | {owner for owner, _ in owned},
        stored=len(new),
        duplicates=len(batch) - len(erased) - len(new),
        impressions=sum(item.event.type == events.IMPRESSION for item in about_messages),
        claims=len(made),
        lost=Counter({ERASED: lost}) if lost else Counter(),
    )
