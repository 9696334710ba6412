"""Laying events over a user state, and one state over another: what the recorder does in SQL, done in memory."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from engine.features import NO_FEATURES, FeatureIndex, Rings
from wire import codec, events
from wire.events import Event
from wire.traits import Room
from wire.userstate import RECENT_IMPRESSIONS, Seen, Stamp, UserState

_NEVER: Stamp = (-1, b"")


class Laid:
    """An event that is laid over states again and again, without what no rule looks at. Its properties, which may be
    large, are not read each time."""

    __slots__ = (
        "_feature_ids", "_index", "_message_id", "claims", "id_bytes", "occurred_ms", "properties", "received_ms",
        "subject", "type",
    )  # fmt: skip

    def __init__(self, event: Event) -> None:
        self.id_bytes = event.id_bytes
        self.type = event.type
        self.subject = event.subject
        self.claims = event.claims
        self.occurred_ms = event.occurred_ms
        self.received_ms = event.received_ms
        self.properties = event.properties
        self._index = -1
        self._feature_ids: tuple[str, ...] = ()
        self._message_id: str | None = None

    def feature_ids(self, features: FeatureIndex) -> tuple[str, ...]:
        """Of those that count it. Found once for each index, as long as that is the one asked for."""
        if self._index != features.number:
            properties = codec.from_json(self.properties) if features.asks_for_properties(self.type) else {}
            self._feature_ids = tuple(feature_id for feature_id, _ in features.of(self.type, properties))
            self._index = features.number
        return self._feature_ids

    @property
    def message_id(self) -> str:
        """The one that an event about a message names."""
        if self._message_id is None:
            self._message_id = str(codec.from_json(self.properties)["messageId"])
        return self._message_id


def with_events(state: UserState, overlay: Iterable[Event | Laid], features: FeatureIndex = NO_FEATURES) -> UserState:
    """The state once these events are in it; one that is in it already, or comes twice, changes nothing.

    An event about a message, or of a feature, counts as being in it when the state has as many of that very
    millisecond: of two at one millisecond that came through two edges, the second may count a moment later.
    Who lays the same events often gives them as `Laid`.
    """
    events_by_id = {event.id_bytes: event for event in overlay}
    if not events_by_id:
        return state
    rendered: defaultdict[str, list[int]] = defaultdict(list)
    happened: defaultdict[str, list[int]] = defaultdict(list)
    identifies: list[Laid] = []
    for event in events_by_id.values():
        laid = event if isinstance(event, Laid) else Laid(event)
        for feature_id in laid.feature_ids(features):
            happened[feature_id].append(event.occurred_ms)
        if event.type in events.SETS_TRAITS:
            identifies.append(laid)
        elif event.type == events.IMPRESSION:
            rendered[laid.message_id].append(event.occurred_ms)
        elif event.type in events.MESSAGE_EVENTS:
            state = _with_answer(state, laid)
    for message_id, moments in rendered.items():
        state = _with_impressions(state, message_id, moments)
    if happened:
        state = _with_moments(state, happened)
    return _with_traits(state, identifies) if identifies else state


def union(user: UserState, anonymous: UserState) -> UserState:
    """A user with what an anonymous visitor brings along; the later write of each trait wins."""
    if not (anonymous.rings or anonymous.seen or anonymous.stamps or anonymous.traits or anonymous.static_audiences):
        return user
    traits, stamps = dict(user.traits), dict(user.stamps)
    later = [(stamp, name) for name, stamp in anonymous.stamps.items() if stamp > stamps.get(name, _NEVER)]
    room = Room(traits, stamps if later else ())
    for stamp, name in sorted(later):
        value = anonymous.traits.get(name)
        if room.take(name, value):
            _set_trait(traits, name, value)
            stamps[name] = stamp
    seen = dict(user.seen)
    for message_id, theirs in anonymous.seen.items():
        seen[message_id] = _add(seen.get(message_id, Seen()), theirs)
    return replace(
        user,
        traits=traits,
        stamps=stamps,
        static_audiences=user.static_audiences | anonymous.static_audiences,
        seen=seen,
        rings=_united(user.rings, anonymous.rings),
    )


def _with_traits(state: UserState, identifies: Iterable[Laid]) -> UserState:
    traits, stamps = dict(state.traits), dict(state.stamps)
    room = Room(traits, stamps)
    for event in identifies:
        stamp = (event.received_ms, event.id_bytes)
        for name, value in codec.from_json(event.properties).items():
            if stamp >= stamps.get(name, _NEVER) and room.take(name, value):
                _set_trait(traits, name, value)
                stamps[name] = stamp
    return replace(state, traits=traits, stamps=stamps)


def _set_trait(traits: dict[str, Any], name: str, value: Any) -> None:
    """A null takes the trait away; its stamp stays, so that an older write cannot bring it back."""
    if value is None:
        traits.pop(name, None)
    else:
        traits[name] = value


def _with_answer(state: UserState, event: Laid) -> UserState:
    """Clicks and dismissals only have to be known of, to stop a message; how many there were Postgres counts."""
    message_id = event.message_id
    seen = state.seen.get(message_id, Seen())
    if event.type == events.CLICKED:
        seen = seen._replace(clicks=max(seen.clicks, 1))
    else:
        seen = seen._replace(dismissals=max(seen.dismissals, 1))
    return replace(state, seen={**state.seen, message_id: seen})


def _with_impressions(state: UserState, message_id: str, moments: Iterable[int]) -> UserState:
    """A state has an event already when it has as many impressions of that very millisecond."""
    seen = state.seen.get(message_id, Seen())
    new = tuple((Counter(moments) - Counter(seen.recent_ms)).elements())
    counted = seen._replace(impressions=seen.impressions + len(new), recent_ms=_newest((*seen.recent_ms, *new)))
    return replace(state, seen={**state.seen, message_id: counted})


def _with_moments(state: UserState, happened: Mapping[str, Iterable[int]]) -> UserState:
    rings = dict(state.rings)
    for feature_id, moments in happened.items():
        ring = rings.get(feature_id, ())
        rings[feature_id] = _newest_first(*ring, *(Counter(moments) - Counter(ring)).elements())
    return replace(state, rings=rings)


def _united(mine: Rings, theirs: Rings) -> Rings:
    """Longer than either, which decides nothing differently."""
    return {**mine, **{id_: _newest_first(*mine.get(id_, ()), *ring) for id_, ring in theirs.items()}}


def _add(mine: Seen, theirs: Seen) -> Seen:
    return Seen(
        mine.impressions + theirs.impressions,
        mine.clicks + theirs.clicks,
        mine.dismissals + theirs.dismissals,
        _newest((*mine.recent_ms, *theirs.recent_ms)),
    )


def _newest(moments: tuple[int, ...]) -> tuple[int, ...]:
    return _newest_first(*moments)[:RECENT_IMPRESSIONS]


def _newest_first(*moments: int) -> tuple[int, ...]:
    return tuple(sorted(moments, reverse=True))
