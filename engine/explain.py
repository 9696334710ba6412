"""Why one message is given to somebody now, or is not: an answer for each of its rules, all of them by `engine.decide`.

A rule is asked about by deciding on a message that has this rule and no other.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final, Literal

from engine.decide import Context, Person, eligible, in_context, person, verdict
from engine.rules import Membership
from engine.table import OrgTable, PreparedMessage, Trigger
from wire.userstate import UserState

DRAFT: Final = "draft"
ARCHIVED: Final = "archived"
PAUSED: Final = "paused"
INVALID: Final = "invalid"
PREPARING: Final = "preparing"
OUTRANKED: Final = "outranked"

CheckName = Literal[
    "status", "window", "audience", "excluded_audiences", "trigger_audience",
    "url", "screen", "event", "frequency_cap", "slot",
]  # fmt: skip

_MOST_STEPS = 100
"""How many changes of a slot are looked into for the one that clears it."""


@dataclass(frozen=True, slots=True)
class Check:
    """What one of a message's rules says. `reason` None: it passes. `changes_ms`: the next moment at which that changes
    by itself.

    `on_device`: the context says nothing about it, so that it is left to the device. `outranked_by`: the id of the
    message that wins the slot.
    """

    name: CheckName
    reason: str | None = None
    changes_ms: int | None = None
    on_device: bool = False
    outranked_by: str | None = None

    @property
    def passes(self) -> bool:
        return self.reason is None


def explain(
    table: OrgTable, message_id: str, state: UserState, context: Context, now_ms: int, status: str | None = None
) -> list[Check]:
    """Every rule, in the order in which `decide` asks; all pass where the message is shown.

    `table` must have the message, and the others of its slot. `state` is somebody's whose identity is proven. `status`:
    why the message is not published as it stands, which the table cannot know; None: it is.

    Raises KeyError for a message that the table does not have.
    """
    prepared = table.by_id[message_id]
    context = context._replace(resolve=False)
    somebody = person(table, state, {}, now_ms)
    checks = [Check("status", status)]
    for name, alone in _alone(prepared):
        reason, changes_ms = verdict(alone, somebody, context, now_ms)
        if alone.is_targeted:
            changes_ms = _membership_changes_ms(table.membership, alone, state, now_ms)
        checks.append(Check(name, reason, changes_ms, _is_left_to_device(alone, context)))
    return [*checks, _slot_check(table, prepared, state, context, now_ms)]


def masks(membership: Membership, state: UserState, now_ms: int) -> Iterator[tuple[int, int]]:
    """(moment, mask of the audiences that hold from then on): now, and when that may change by itself."""
    at_ms: int | None = now_ms
    while at_ms is not None:
        mask, changes_ms = membership.evaluate(state.traits, state.rings, state.static_audiences, at_ms)
        yield at_ms, mask
        at_ms = changes_ms


def _alone(prepared: PreparedMessage) -> Iterator[tuple[CheckName, PreparedMessage]]:
    """The message with one rule at a time."""
    message, trigger = prepared.message, prepared.trigger
    without = replace(message, starts_ms=None, ends_ms=None, cap=None, exclude_audience_ids=())
    bare = replace(
        prepared, message=without, audience_id=None, trigger=Trigger(), audience=0, excluded=0, trigger_audience=0
    )
    yield "window", replace(bare, message=replace(without, starts_ms=message.starts_ms, ends_ms=message.ends_ms))
    yield "audience", replace(bare, audience_id=prepared.audience_id, audience=prepared.audience)
    excluding = replace(without, exclude_audience_ids=message.exclude_audience_ids)
    yield "excluded_audiences", replace(bare, message=excluding, excluded=prepared.excluded)
    when = Trigger(audience_id=trigger.audience_id)
    yield "trigger_audience", replace(bare, trigger=when, trigger_audience=prepared.trigger_audience)
    yield "url", replace(bare, trigger=Trigger(url=trigger.url))
    yield "screen", replace(bare, trigger=Trigger(screen=trigger.screen))
    yield "event", replace(bare, trigger=Trigger(trigger.event_type, trigger.where))
    yield "frequency_cap", replace(bare, message=replace(without, cap=message.cap))


def _is_left_to_device(alone: PreparedMessage, context: Context) -> bool:
    trigger = alone.trigger
    return (
        (trigger.url is not None and context.url is None)
        or (trigger.screen is not None and context.screen is None)
        or (trigger.event_type is not None and context.event is None)
    )


def _membership_changes_ms(membership: Membership, alone: PreparedMessage, state: UserState, now_ms: int) -> int | None:
    """When being in the audiences of this one rule next makes a difference."""
    answers = (
        (at_ms, verdict(alone, Person(mask, state.seen), Context(), at_ms).reason)
        for at_ms, mask in masks(membership, state, now_ms)
    )
    _, now = next(answers)
    return next((at_ms for at_ms, then in answers if then != now), None)


def _slot_check(table: OrgTable, prepared: PreparedMessage, state: UserState, context: Context, now_ms: int) -> Check:
    """Whether one that comes first is given too. Others count only where all that they wait for is said to be there."""
    before = takewhile(lambda other: other is not prepared, table.messages)
    rivals = {other.message.id for other in before if other.message.slot == prepared.message.slot}
    winners = _winners(table, rivals, state, context._replace(resolve=True), now_ms)
    _, now = next(winners)
    changes_ms = next((at_ms for at_ms, then in winners if (then is None) != (now is None)), None)
    return Check("slot", OUTRANKED if now else None, changes_ms, outranked_by=now)


def _winners(
    table: OrgTable, rivals: set[str], state: UserState, context: Context, now_ms: int
) -> Iterator[tuple[int, str | None]]:
    """(moment, the rival that wins from then on): now, and whenever a decision changes by itself."""
    at_ms = now_ms
    for _ in range(_MOST_STEPS if rivals else 1):
        may = eligible(table, person(table, state, {}, at_ms), at_ms)
        given = (table.messages[place].message.id for place in in_context(table, may.messages, context))
        yield at_ms, next((message_id for message_id in given if message_id in rivals), None)
        if may.changes_ms is None:
            return
        at_ms = may.changes_ms
