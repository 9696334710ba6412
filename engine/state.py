"""Laying events over a user state, and one state over another: what the recorder does in SQL, done in memory."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from wire import codec, events
from wire.events import Event
from wire.userstate import RECENT_IMPRESSIONS, Seen, Stamp, UserState


def with_events(state: UserState, overlay: Iterable[Event]) -> UserState:
    """The state once these events are in it; one that is in it already changes nothing."""
    for event in overlay:
        if event.type == events.IDENTIFIED:
            state = _with_traits(state, codec.from_json(event.properties), (event.received_ms, event.id.bytes))
        elif event.type in events.MESSAGE_EVENTS:
            state = _with_message_event(state, event)
    return state


def union(user: UserState, anonymous: UserState) -> UserState:
    """A user with what an anonymous visitor brings along; the later write of each trait wins."""
    traits, stamps = dict(user.traits), dict(user.stamps)
    for name, stamp in anonymous.stamps.items():
        if stamp > stamps.get(name, (-1, b"")):
            _set_trait(traits, name, anonymous.traits.get(name))
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
    )


def _with_traits(state: UserState, properties: Mapping[str, Any], stamp: Stamp) -> UserState:
    traits, stamps = dict(state.traits), dict(state.stamps)
    for name, value in properties.items():
        if stamp >= stamps.get(name, (-1, b"")):
            _set_trait(traits, name, value)
            stamps[name] = stamp
    return replace(state, traits=traits, stamps=stamps)


def _set_trait(traits: dict[str, Any], name: str, value: Any) -> None:
    """A null takes the trait away; its stamp stays, so that an older write cannot bring it back."""
    if value is None:
        traits.pop(name, None)
    else:
        traits[name] = value


def _with_message_event(state: UserState, event: Event) -> UserState:
    message_id = codec.from_json(event.properties)["messageId"]
    seen = state.seen.get(message_id, Seen())
    if event.type == events.IMPRESSION:
        seen = _with_impression(seen, event.occurred_ms)
    elif event.type == events.CLICKED:
        seen = replace(seen, clicks=max(seen.clicks, 1))
    else:
        seen = replace(seen, dismissals=max(seen.dismissals, 1))
    return replace(state, seen={**state.seen, message_id: seen})


def _with_impression(seen: Seen, occurred_ms: int) -> Seen:
    """No message renders twice in one millisecond for one customer, so the moment tells an impression apart."""
    if occurred_ms in seen.recent_ms:
        return seen
    return replace(seen, impressions=seen.impressions + 1, recent_ms=_newest((*seen.recent_ms, occurred_ms)))


def _add(mine: Seen, theirs: Seen) -> Seen:
    return Seen(
        mine.impressions + theirs.impressions,
        mine.clicks + theirs.clicks,
        mine.dismissals + theirs.dismissals,
        _newest((*mine.recent_ms, *theirs.recent_ms)),
    )


def _newest(moments: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(moments, reverse=True)[:RECENT_IMPRESSIONS])
