"""Which messages a person gets now, and until when that answer holds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine import caps
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

_NOTHING_SEEN = Seen()


@dataclass(frozen=True, slots=True)
class Occasion:
    """An event that just happened on the device."""

    type: str
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """Where somebody is and what just happened there; None: not said. `resolve` keeps the winner of each slot."""

    url: str | None = None
    screen: str | None = None
    event: Occasion | None = None
    resolve: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, as far as known now.

    `audiences`: the mask of those that they are in. `known` false: their state could not be had. `verified` false: who
    they are is not proven.
    `changes_ms`: the first moment after now at which `audiences` can change by itself.
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


class Decision(NamedTuple):
    messages: list[PreparedMessage]
    changes_ms: int | None


NOBODY = Person(0, {}, known=False)
"""Somebody whose state could not be had."""


def person(
    table: OrgTable, state: UserState, traits: Mapping[str, Any], now_ms: int, *, verified: bool = True
) -> Person:
    """`traits` count on top of the state's own, for this once."""
    audiences, changes_ms = table.membership.evaluate(
        {**state.traits, **traits}, state.rings, state.static_audiences, now_ms
    )
    return Person(audiences, state.seen, changes_ms, verified=verified)


def decide(table: OrgTable, person: Person, context: Context, now_ms: int) -> Decision:
    """The messages given now, the winner of a slot first."""
    given: list[PreparedMessage] = []
    changes = [person.changes_ms]
    for prepared in table.messages:
        reason, changes_ms = verdict(prepared, person, context, now_ms)
        changes.append(changes_ms)
        if reason is None:
            given.append(prepared)
    return Decision(_winners(given) if context.resolve else given, _earliest(changes))


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
        held = caps.withheld(message.cap, person.seen.get(message.id, _NOTHING_SEEN), now_ms)
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


def _winners(given: Iterable[PreparedMessage]) -> list[PreparedMessage]:
    winners: dict[str, PreparedMessage] = {}
    for prepared in given:
        winners.setdefault(prepared.message.slot, prepared)
    return list(winners.values())


def _earliest(moments: Iterable[int | None]) -> int | None:
    return min((moment for moment in moments if moment is not None), default=None)
