"""Traits: last write wins, trait by trait, by (received_ms, event id)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wire.events import Event
from wire.traits import Room

Stamp = list[Any]
"""`[received_ms, event id in hex]`, as it lies in Postgres; a later write has the greater one."""

_NEVER: Stamp = [-1, ""]


@dataclass(slots=True)
class Traits:
    """The traits of one customer. A trait that was set to null has a stamp and no value.

    `dropped`: how many writes there was no room for.
    """

    values: dict[str, Any] = field(default_factory=dict)
    stamps: dict[str, Stamp] = field(default_factory=dict)
    dropped: int = field(default=0, compare=False)
    _room: Room | None = field(default=None, init=False, repr=False, compare=False)

    def write(self, properties: Mapping[str, Any], event: Event) -> bool:
        """Lays an identify over the traits; whether anything changed."""
        stamp = [event.received_ms, event.id_bytes.hex()]
        later = [name for name in properties if stamp > self.stamps.get(name, _NEVER)]
        return sum(self._set(name, properties[name], stamp) for name in later) > 0

    def merge(self, other: "Traits") -> None:
        """Lays another customer's traits over these, the earlier ones first."""
        for name, stamp in sorted(other.stamps.items(), key=lambda item: (item[1], item[0])):
            if stamp > self.stamps.get(name, _NEVER):
                self._set(name, other.values.get(name), stamp)

    def keep_after(self, moment_ms: int) -> None:
        """Forgets what was written up to a moment."""
        self.stamps = {name: stamp for name, stamp in self.stamps.items() if stamp[0] > moment_ms}
        self.values = {name: value for name, value in self.values.items() if name in self.stamps}
        self._room = None

    def _set(self, name: str, value: Any, stamp: Stamp) -> bool:
        """False, and nothing is set, when there is no room for it."""
        self._room = self._room or Room(self.values, self.stamps)
        if not self._room.take(name, value):
            self.dropped += 1
            return False
        self.stamps[name] = stamp
        if value is None:
            self.values.pop(name, None)
        else:
            self.values[name] = value
        return True
