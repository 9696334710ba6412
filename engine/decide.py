"""Which messages a person gets now, and until when that answer holds.

`decide` finds out about all messages at once, by their bits; `verdict` about one, rule by rule, and says why. The two
agree.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine import caps
from engine.message_index import MessageIndex, bits
from engine.table import OrgTable, PreparedMessage
from wire.userstate import Seen, UserState

NOT_STARTED = "not_started"
ENDED = "ended"
STATE_UNKNOWN = "state_unknown"
UNVERIFIED = "unverified"
NOT_IN_AUDIENCE = "not_in_audience"
IN_EXCLUDED_AUDIENCE = "in_excluded_audience"
NOT_IN_TRIGGER_AUDIENCE = "not_in_trigger_audience"
URL_MISMATCH = "url_mismatch"
SCREEN_MISMATCH = "screen_mismatch"
EVENT_MISMATCH = "event_mismatch"

_NOT_SEEN = Seen()
NOTHING_SEEN: Mapping[str, Seen] = {}


@dataclass(frozen=True, slots=True)
class Occasion:
    """An event that just happened on the device."""

    type: str
    properties: Mapping[str, Any] = field(default_factory=dict)


class Context(NamedTuple):
    """Where somebody is and what just happened there; None: not said. `resolve` keeps the winner of each slot."""

    url: str | None = None
    screen: str | None = None
    event: Occasion | None = None
    resolve: bool = False


ANYWHERE = Context()


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, as far as known now.

    `audiences`: the mask of those that they are in. `seen`: of the messages that their caps may withhold. `known`
    false: their state could not be had. `verified` false: who they are is not proven. `changes_ms`: the first moment
    after now at which `audiences` can change by itself.
    """

    audiences: int
    seen: Mapping[str, Seen]
    changes_ms: int | None = None
    known: bool = True
    verified: bool = True


class Verdict(NamedTuple):
    """About one message: `reason` None means it is given. `changes_ms`: when the verdict next changes by itself."""

    reason: str | None
    changes_ms: int | None = None


class Eligible(NamedTuple):
    """The bits of the messages that somebody may get, wherever they are and whatever they do there.

    `changes_ms`: the first moment after now at which that can change by itself.
    """

    messages: int
    changes_ms: int | None


NOBODY = Person(0, {}, known=False)
"""Somebody whose state could not be had."""


def person(
    table: OrgTable, state: UserState, traits: Mapping[str, Any], now_ms: int, *, verified: bool = True
) -> Person:
    """`traits` count on top of the state's own, for this once."""
    known = {**state.traits, **traits} if traits else state.traits
    audiences, changes_ms = table.membership.evaluate(known, state.rings, state.static_audiences, now_ms)
    return Person(audiences, _withholding(table.index, state.seen, now_ms), changes_ms, verified=verified)


def _withholding(index: MessageIndex, seen: Mapping[str, Seen], now_ms: int) -> Mapping[str, Seen]:
    """What was seen of messages that their caps withhold now, as far as they look back. Time withholds no more."""
    withholding = {}
    for message_id, what in seen.items():
        capped = index.capped.get(message_id)
        if capped is not None and caps.withheld(capped.cap, what, now_ms) is not None:
            most = capped.cap.max_impressions or 1
            is_short = len(what.recent_ms) <= most
            withholding[capped.id] = what if is_short else what._replace(recent_ms=what.recent_ms[:most])
    return withholding or NOTHING_SEEN


def decide(table: OrgTable, person: Person, context: Context, now_ms: int) -> list[PreparedMessage]:
    """The messages given now, the winner of a slot first."""
    messages = table.messages
    return [messages[place] for place in in_context(table, eligible(table, person, now_ms).messages, context)]


def eligible(table: OrgTable, person: Person, now_ms: int) -> Eligible:
    index = table.index
    live = index.live(now_ms)
    messages = live.mask & ~index.barred(person.audiences)
    if not person.known:
        messages &= ~index.stateful
    if not person.verified:
        messages &= ~index.targeted
    messages, free_ms = _within_caps(index, messages, person.seen, now_ms)
    return Eligible(messages, _earliest((person.changes_ms, live.until_ms, free_ms)))


def in_context(table: OrgTable, messages: int, context: Context) -> list[int]:
    """The places of those whose trigger fits, in order; with `resolve` only of the winner of each slot."""
    found = fitting(table, messages, context)
    return table.index.winners(found) if context.resolve else table.index.places(found)


def fitting(table: OrgTable, messages: int, context: Context) -> int:
    """Those of the messages whose trigger fits.

    What the context says must match. What it does not say is left to the device, but cannot win a slot.
    """
    index, url, screen, event, resolve = table.index, context.url, context.screen, context.event, context.resolve
    if url is not None:
        messages &= ~index.urls.misfits(url, messages)
    elif resolve:
        messages &= ~index.urls.mask
    if screen is not None:
        messages &= ~index.screens.misfits(screen, messages)
    elif resolve:
        messages &= ~index.screens.mask
    if event is not None:
        messages = _fitting_event(table, messages, event)
    elif resolve:
        messages &= ~index.with_event
    return messages


def _within_caps(index: MessageIndex, messages: int, seen: Mapping[str, Seen], now_ms: int) -> tuple[int, int | None]:
    """(the messages of which one more impression is allowed, when the first of the others is free)."""
    free_ms = None
    for message_id, what in seen.items():
        capped = index.capped.get(message_id)
        if capped is not None and messages & capped.bit:
            held = caps.withheld(capped.cap, what, now_ms)
            if held is not None:
                messages &= ~capped.bit
                free_ms = _earliest((free_ms, held.until_ms))
    return messages, free_ms


def _fitting_event(table: OrgTable, messages: int, event: Occasion) -> int:
    index = table.index
    messages &= ~index.with_event | index.for_event(event.type)
    for bit in bits(messages & index.with_where):
        where = table.messages[index.size - bit.bit_length()].trigger.where
        if where is not None and not where(event.properties):
            messages &= ~bit
    return messages


def verdict(prepared: PreparedMessage, person: Person, context: Context, now_ms: int) -> Verdict:
    """Rule by rule, in the order in which a reader would ask."""
    message = prepared.message
    if message.ends_ms is not None and now_ms >= message.ends_ms:
        return Verdict(ENDED)
    if message.starts_ms is not None and now_ms < message.starts_ms:
        return Verdict(NOT_STARTED, message.starts_ms)
    reason = _unfit_person(prepared, person) or _unfit_context(prepared, context)
    if reason is not None:
        return Verdict(reason, message.ends_ms)
    if message.cap is not None:
        held = caps.withheld(message.cap, person.seen.get(message.id, _NOT_SEEN), now_ms)
        if held is not None:
            return Verdict(held.reason, _earliest((held.until_ms, message.ends_ms)))
    return Verdict(None, message.ends_ms)


def _unfit_person(prepared: PreparedMessage, person: Person) -> str | None:
    """What depends on a state that is not known, or on an identity that is not proven, is withheld."""
    if not person.known and prepared.needs_state:
        return STATE_UNKNOWN
    if not person.verified and prepared.is_targeted:
        return UNVERIFIED
    if prepared.audience & ~person.audiences:
        return NOT_IN_AUDIENCE
    if prepared.excluded & person.audiences:
        return IN_EXCLUDED_AUDIENCE
    if prepared.trigger_audience & ~person.audiences:
        return NOT_IN_TRIGGER_AUDIENCE
    return None


def _unfit_context(prepared: PreparedMessage, context: Context) -> str | None:
    """What the context says must match. What it does not say is left to the device, but cannot win a slot."""
    trigger = prepared.trigger
    if trigger.url is not None and not _holds(trigger.url, context.url, context.resolve):
        return URL_MISMATCH
    if trigger.screen is not None and not _holds(trigger.screen, context.screen, context.resolve):
        return SCREEN_MISMATCH
    if trigger.event_type is not None and not _happened(prepared, context):
        return EVENT_MISMATCH
    return None


def _holds(test: Any, text: str | None, resolve: bool) -> bool:
    return bool(test(text)) if text is not None else not resolve


def _happened(prepared: PreparedMessage, context: Context) -> bool:
    trigger, event = prepared.trigger, context.event
    if event is None:
        return not context.resolve
    return trigger.event_type == event.type and (trigger.where is None or trigger.where(event.properties))


def _earliest(moments: Iterable[int | None]) -> int | None:
    return min((moment for moment in moments if moment is not None), default=None)
