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


def with_events(state: UserState, overlay: Iterable[Event], features: FeatureIndex = NO_FEATURES) -> UserState:
    """The state once these events are in it; one that is in it already, or comes twice, changes nothing.

    An event about a message, or of a feature, counts as being in it when the state has as many of that very
    millisecond: of two at one millisecond that came through two edges, the second may count a moment later.
    """
    rendered: defaultdict[str, Counter[int]] = defaultdict(Counter)
    happened: defaultdict[str, Counter[int]] = defaultdict(Counter)
    identifies: list[Event] = []
    for event in {event.id: event for event in overlay}.values():
        if features.watches(event.type):
            for feature_id, _ in features.of(event.type, codec.from_json(event.properties)):
                happened[feature_id][event.occurred_ms] += 1
        if event.type in events.SETS_TRAITS:
            identifies.append(event)
        elif event.type == events.IMPRESSION:
            rendered[_message_id(event)][event.occurred_ms] += 1
        elif event.type in events.MESSAGE_EVENTS:
            state = _with_answer(state, event)
    for message_id, moments in rendered.items():
        state = _with_impressions(state, message_id, moments)
    if happened:
        state = _with_moments(state, happened)
    return _with_traits(state, identifies) if identifies else state


def union(user: UserState, anonymous: UserState) -> UserState:
    """A user with what an anonymous visitor brings along; the later write of each trait wins."""
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


def _with_traits(state: UserState, identifies: Iterable[Event]) -> UserState:
    traits, stamps = dict(state.traits), dict(state.stamps)
    room = Room(traits, stamps)
    for event in identifies:
        stamp = (event.received_ms, event.id.bytes)
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


def _message_id(event: Event) -> str:
    return str(codec.from_json(event.properties)["messageId"])


def _with_answer(state: UserState, event: Event) -> UserState:
    """Clicks and dismissals only have to be known of, to stop a message; how many there were Postgres counts."""
    message_id = _message_id(event)
    seen = state.seen.get(message_id, Seen())
    if event.type == events.CLICKED:
        seen = replace(seen, clicks=max(seen.clicks, 1))
    else:
        seen = replace(seen, dismissals=max(seen.dismissals, 1))
    return replace(state, seen={**state.seen, message_id: seen})


def _with_impressions(state: UserState, message_id: str, moments: Counter[int]) -> UserState:
    """A state has an event already when it has as many impressions of that very millisecond."""
    seen = state.seen.get(message_id, Seen())
    new = tuple((moments - Counter(seen.recent_ms)).elements())
    counted = replace(seen, impressions=seen.impressions + len(new), recent_ms=_newest((*seen.recent_ms, *new)))
    return replace(state, seen={**state.seen, message_id: counted})


def _with_moments(state: UserState, happened: Mapping[str, Counter[int]]) -> UserState:
    rings = dict(state.rings)
    for feature_id, moments in happened.items():
        ring = rings.get(feature_id, ())
        rings[feature_id] = _newest_first(*ring, *(moments - Counter(ring)).elements())
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
