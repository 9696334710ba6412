"""UserState: all that the edge knows of one customer, projected from Postgres by the recorder.

Encoded as two msgpack values one after the other: `rev`, then the state. So a script inside Redis can compare revs
without decoding the state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wire import codec
from wire.codec import DecodeError

FORMAT = 2
_WITHOUT_RINGS = 1
"""The FORMAT before; a state in it belongs to somebody who has no rings, else it had been written anew."""
_MARKER_FORMAT = 1
RECENT_IMPRESSIONS = 100
"""How many of the newest impressions of a message a state keeps: the most that a cap within a window can ask for."""

MOST_ALIASES = 100
"""How many anonymous ids a user may claim. People have a few devices; anybody with a public key can claim for one user
without end, and what such a user sees is written to the state of each alias."""

Stamp = tuple[int, bytes]
"""(received_ms, event id) of the event that set a trait: the later one wins, trait by trait."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a customer has done with one message. `recent_ms`: moments of the newest impressions, newest first."""

    impressions: int = 0
    clicks: int = 0
    dismissals: int = 0
    recent_ms: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class UserState:
    """`rev` orders states of one customer; `aliases` are the anonymous ids claimed by this user.

    `rings`: id of a `wire.features.Feature` → moments of its newest events, newest first, at most as many as it keeps.
    """

    rev: int = 0
    traits: Mapping[str, Any] = field(default_factory=dict)
    stamps: Mapping[str, Stamp] = field(default_factory=dict)
    static_audiences: frozenset[str] = frozenset()
    seen: Mapping[str, Seen] = field(default_factory=dict)
    aliases: frozenset[str] = frozenset()
    rings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def encode(self) -> bytes:
        body = [
            FORMAT,
            self.traits,
            self.stamps,
            sorted(self.static_audiences),
            {
                message_id: [seen.impressions, seen.clicks, seen.dismissals, seen.recent_ms]
                for message_id, seen in self.seen.items()
            },
            sorted(self.aliases),
            self.rings,
        ]
        return codec.pack(self.rev) + codec.pack(body)

    @classmethod
    def decode(cls, data: bytes) -> "UserState":
        """Raises DecodeError."""
        try:
            rev, (form, traits, stamps, static, seen, aliases, *rest) = codec.unpack_all(data)
            if form != _WITHOUT_RINGS:
                codec.expect_format(form, FORMAT)
            (rings,) = rest or ({},)
            return cls(
                rev,
                traits,
                {name: (received_ms, event_id) for name, (received_ms, event_id) in stamps.items()},
                frozenset(static),
                {
                    message_id: Seen(impressions, clicks, dismissals, tuple(recent_ms))
                    for message_id, (impressions, clicks, dismissals, recent_ms) in seen.items()
                },
                frozenset(aliases),
                {feature_id: tuple(recent_ms) for feature_id, recent_ms in rings.items()},
            )
        except DecodeError:
            raise
        except (TypeError, ValueError, AttributeError) as error:
            raise DecodeError(f"not a user state: {type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class Marker:
    """Says that every known customer of an org is projected into the Redis server of this run id."""

    run_id: str
    projected_ms: int

    def encode(self) -> bytes:
        return codec.pack([_MARKER_FORMAT, self.run_id, self.projected_ms])

    @classmethod
    def decode(cls, data: bytes) -> "Marker":
        """Raises DecodeError."""
        try:
            form, run_id, projected_ms = codec.unpack(data)
        except (TypeError, ValueError) as error:
            raise DecodeError("not a marker") from error
        codec.expect_format(form, _MARKER_FORMAT)
        return cls(run_id, projected_ms)
