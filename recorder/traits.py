"""Traits: last write wins, trait by trait, by (received_ms, event id)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wire.events import Event

Stamp = list[Any]
"""`[received_ms, event id in hex]`, as it lies in Postgres; a later write has the greater one."""

_NEVER: Stamp = [-1, ""]


@dataclass(slots=True)
class Traits:
    """The traits of one customer. A trait that was set to null has a stamp and no value."""

    values: dict[str, Any] = field(default_factory=dict)
    stamps: dict[str, Stamp] = field(default_factory=dict)

    def write(self, properties: Mapping[str, Any], event: Event) -> bool:
        """Lays an identify over the traits; whether anything changed."""
        stamp = [event.received_ms, event.id.hex]
        later = [name for name in properties if stamp > self.stamps.get(name, _NEVER)]
        for name in later:
            self._set(name, properties[name], stamp)
        return bool(later)

    def merge(self, other: "Traits") -> None:
        """Lays another customer's traits over these."""
        for name, stamp in other.stamps.items():
            if stamp > self.stamps.get(name, _NEVER):
                self._set(name, other.values.get(name), stamp)

    def keep_after(self, moment_ms: int) -> None:
        """Forgets what was written up to a moment."""
        self.stamps = {name: stamp for name, stamp in self.stamps.items() if stamp[0] > moment_ms}
        self.values = {name: value for name, value in self.values.items() if name in self.stamps}

    def _set(self, name: str, value: Any, stamp: Stamp) -> None:
        self.stamps[name] = stamp
        if value is None:
            self.values.pop(name, None)
        else:
            self.values[name] = value
