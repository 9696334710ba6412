"""UserState: all that the edge knows of one customer, projected from Postgres by the recorder.

Encoded as two msgpack values one after the other: `rev`, then the state. So a script inside Redis can compare revs
without decoding the state. An edge decodes a state for every customer who is new to it: traits stand in it as JSON,
which is read twice as fast as msgpack, and stamps as bytes that are read when somebody asks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

from wire import codec
from wire.codec import DecodeError

FORMAT = 3
_PLAIN = 2
"""The FORMAT before: traits and stamps are msgpack like everything else."""
_WITHOUT_RINGS = 1
"""The one before that; a state in it belongs to somebody who has no rings, else it had been written anew."""
_MARKER_FORMAT = 1
RECENT_IMPRESSIONS = 100
"""How many of the newest impressions of a message a state keeps: the most that a cap within a window can ask for."""

_NO_NUMBER: Final = 0x80
"""What is less than this is a whole msgpack number; the others begin with a byte that says how many follow."""
_NUMBER_BYTES: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}

MOST_ALIASES = 100
"""How many anonymous ids a user may claim. People have a few devices; anybody with a public key can claim for one user
without end, and what such a user sees is written to the state of each alias."""

Stamp = tuple[int, bytes]
"""(received_ms, event id) of the event that set a trait: the later one wins, trait by trait."""


class Seen(NamedTuple):
    """What a customer has done with one message. `recent_ms`: moments of the newest impressions, newest first."""

    impressions: int = 0
    clicks: int = 0
    dismissals: int = 0
    recent_ms: tuple[int, ...] = ()


class PackedStamps(Mapping[str, Stamp]):
    """Stamps that nobody has looked at yet. Raises DecodeError once somebody does, if they are unreadable."""

    def __init__(self, packed: bytes) -> None:
        self.packed = packed

    @cached_property
    def _stamps(self) -> dict[str, Stamp]:
        try:
            return _stamps(codec.unpack(self.packed))
        except (TypeError, ValueError, AttributeError) as error:
            raise DecodeError(f"not stamps: {type(error).__name__}") from error

    def __getitem__(self, name: str) -> Stamp:
        return self._stamps[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stamps)

    def __len__(self) -> int:
        return len(self._stamps)


@dataclass(slots=True)
class UserState:
    """`rev` orders states of one customer; `aliases` are the anonymous ids claimed by this user.

    `rings`: id of a `wire.features.Feature` → moments of its newest events, newest first, at most as many as it keeps.
    Nobody changes one, but freezing it would take as long as a tenth of decoding it.
    """

    rev: int = 0
    traits: Mapping[str, Any] = field(default_factory=dict)
    stamps: Mapping[str, Stamp] = field(default_factory=dict)
    static_audiences: frozenset[str] = frozenset()
    seen: Mapping[str, Seen] = field(default_factory=dict)
    aliases: frozenset[str] = frozenset()
    rings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def encode(self) -> bytes:
        stamps = self.stamps
        body = [
            FORMAT,
            codec.to_json(self.traits),
            stamps.packed if isinstance(stamps, PackedStamps) else codec.pack(stamps),
            sorted(self.static_audiences),
            self.seen,
            sorted(self.aliases),
            self.rings,
        ]
        return codec.pack_all((self.rev, body))

    @classmethod
    def decode(cls, data: bytes) -> "UserState":
        """Raises DecodeError."""
        try:
            rev, begins = _rev(data)
            form, *fields = codec.unpack(data[begins:], use_list=False)
            if form != FORMAT:
                return _earlier(data)
            traits, stamps, static, seen, aliases, rings = fields
            traits, stamps, seen = codec.from_json(traits), PackedStamps(stamps), _seen(seen)
            return cls(rev, traits, stamps, frozenset(static), seen, frozenset(aliases), rings)
        except DecodeError:
            raise
        except (TypeError, ValueError, AttributeError) as error:
            raise DecodeError(f"not a user state: {type(error).__name__}") from error


def rev_of(data: bytes) -> int:
    """The rev of an encoded state, whose other parts are not looked at. Raises DecodeError."""
    return _rev(data)[0]


def _rev(data: bytes) -> tuple[int, int]:
    """(the rev, where the state begins)."""
    first = data[0] if data else _NO_NUMBER
    if first < _NO_NUMBER:
        return first, 1
    begins = 1 + _NUMBER_BYTES.get(first, 0)
    if begins == 1 or len(data) < begins:
        raise DecodeError("not a rev")
    return int.from_bytes(data[1:begins], "big"), begins


def _earlier(data: bytes) -> UserState:
    rev, (form, traits, stamps, static, seen, aliases, *rest) = codec.unpack_all(data)
    if form != _WITHOUT_RINGS:
        codec.expect_format(form, _PLAIN)
    (rings,) = rest or ({},)
    seen = {message_id: (*counts, tuple(recent_ms)) for message_id, (*counts, recent_ms) in seen.items()}
    rings = {feature_id: tuple(recent_ms) for feature_id, recent_ms in rings.items()}
    return UserState(rev, traits, _stamps(stamps), frozenset(static), _seen(seen), frozenset(aliases), rings)


def _stamps(stamps: Mapping[str, Any]) -> dict[str, Stamp]:
    return {name: (received_ms, event_id) for name, (received_ms, event_id) in stamps.items()}


def _seen(seen: Mapping[str, Any]) -> dict[str, Seen]:
    return {message_id: Seen(*what) for message_id, what in seen.items()}


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
