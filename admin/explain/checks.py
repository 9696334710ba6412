"""What a check says to people: a sentence, and the details behind it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from admin.explain import words
from admin.explain.conditions import Described, what_must_change
from admin.explain.scene import Rival
from admin.explain.schemas import (
    AudiencesDetails,
    CapDetails,
    CapLimits,
    Check,
    Details,
    EventDetails,
    ExplainedAudience,
    ExplainedProperty,
    Outranking,
    PlaceDetails,
    SlotDetails,
    WindowDetails,
)
from engine import decide, explain
from engine.clauses import compile_where
from engine.decide import Context
from wire import times
from wire.bundle import CompiledMessage, FrequencyCap
from wire.rule_tree import Compare, Pattern
from wire.rules import parse_pattern, parse_where
from wire.userstate import Seen

_MOST_SENTENCES = 3
_NOTHING_SEEN = Seen()

Said = tuple[str, Details]
"""The sentence, and the details."""


@dataclass(frozen=True, slots=True)
class Case:
    """One message, one customer, one moment. `rivals`: the slot's other messages, by id."""

    message: CompiledMessage
    audience_id: str | None
    context: Context
    people: Described
    rivals: Mapping[str, Rival]

    def check(self, check: explain.Check) -> Check:
        text, details = self._said(check)
        if check.changes_ms is not None:
            text += (
                f" {'It happens' if check.reason else 'That changes'} by itself at {times.to_iso(check.changes_ms)}."
            )
        return Check(
            check=check.name,
            passes=check.passes,
            reason=check.reason,
            text=text,
            changes_at=times.to_iso_or_none(check.changes_ms),
            details=details,
        )

    def _said(self, check: explain.Check) -> Said:
        match check.name:
            case "window":
                return self._window(check.reason)
            case "audience" | "excluded_audiences" | "trigger_audience":
                return self._audiences(check)
            case "url" | "screen":
                return self._place(check)
            case "event":
                return self._event(check)
            case "frequency_cap":
                return self._frequency_cap(check.reason)
            case "slot":
                return self._slot(check.outranked_by)
            case "status":
                raise ValueError("the status is no matter of one customer")

    def _window(self, reason: str | None) -> Said:
        starts_at, ends_at = times.to_iso_or_none(self.message.starts_ms), times.to_iso_or_none(self.message.ends_ms)
        details = WindowDetails(starts_at=starts_at, ends_at=ends_at)
        if reason == decide.NOT_STARTED:
            return f"It starts at {starts_at}.", details
        if reason == decide.ENDED:
            return f"It ended at {ends_at}; it would have to end later, or never.", details
        began = "It has no start" if starts_at is None else f"It started at {starts_at}"
        return f"{began} and {'no end' if ends_at is None else f'ends at {ends_at}'}.", details

    def _audiences(self, check: explain.Check) -> Said:
        ids = self._audience_ids(check.name)
        excluding = check.name == "excluded_audiences"
        found = [self.people.audience(id_, turn=not check.passes and self._is_in(id_) is excluding) for id_ in ids]
        text = _membership(found, excluding=excluding) if found else _WITHOUT_AUDIENCE[check.name]
        return text, AudiencesDetails(audiences=found)

    def _audience_ids(self, check: explain.CheckName) -> Sequence[str]:
        if check == "excluded_audiences":
            return self.message.exclude_audience_ids
        audience_id = self.audience_id if check == "audience" else (self.message.trigger or {}).get("audienceId")
        return [audience_id] if audience_id is not None else []

    def _is_in(self, audience_id: str) -> bool:
        return audience_id in self.people.members

    def _place(self, check: explain.Check) -> Said:
        given = self.context.url if check.name == "url" else self.context.screen
        noun = "URL" if check.name == "url" else "screen"
        stored = (self.message.trigger or {}).get(check.name)
        details = PlaceDetails(pattern=words.cut(stored), given=words.cut(given), on_device=check.on_device)
        if not stored:
            return f"It shows on every {noun}.", details
        asked = _as_comparison(noun, parse_pattern(stored))
        if given is None:
            return f"No {noun} was given; {words.would_have_to(asked, hold=True)}.", details
        needed = "" if check.passes else f"; {words.would_have_to(asked, hold=True)}"
        return f"The {words.is_so(asked, given)}{needed}.", details

    def _event(self, check: explain.Check) -> Said:
        trigger, event = self.message.trigger or {}, self.context.event
        asked, given = trigger.get("eventType"), event.type if event else None
        details = EventDetails(event_type=asked, given=given, where=[], on_device=check.on_device)
        if asked is None:
            return "It waits for no event.", details
        if event is None:
            return f"No event was given; it would have to be {words.quoted(asked)}.", details
        if event.type != asked:
            return f"The event is {words.quoted(event.type)}; it would have to be {words.quoted(asked)}.", details
        where = [_property(compare, event.properties) for compare in parse_where(trigger.get("where") or [])]
        sentences = [f"The event is {words.quoted(asked)}.", *(one.text for one in where if not one.holds)]
        return " ".join(sentences), details.model_copy(update={"where": where})

    def _frequency_cap(self, reason: str | None) -> Said:
        cap, seen = self.message.cap, self.people.state.seen.get(self.message.id, _NOTHING_SEEN)
        text = "Nothing limits how often it is shown." if cap is None else words.capped(reason, cap, seen)
        return text, CapDetails(
            cap=None if cap is None else _limits(cap),
            impressions=seen.impressions,
            clicks=seen.clicks,
            dismissals=seen.dismissals,
            last_impression_at=times.to_iso_or_none(seen.recent_ms[0] if seen.recent_ms else None),
        )

    def _slot(self, outranked_by: str | None) -> Said:
        slot = words.quoted(self.message.slot)
        if outranked_by is None:
            text = f"No other message is before it in the slot {slot}."
            return text, SlotDetails(slot=self.message.slot, outranked_by=None)
        name, priority = self.rivals[outranked_by]
        mine = self.message.priority
        why = f"its priority is {priority}, this one's {mine}" if priority != mine else "it is older"
        by = Outranking(id=outranked_by, name=name, priority=priority)
        return f"{words.quoted(name)} has the slot {slot}: {why}.", SlotDetails(slot=self.message.slot, outranked_by=by)


_WITHOUT_AUDIENCE = {
    "audience": "It is for everybody.",
    "excluded_audiences": "It excludes nobody.",
    "trigger_audience": "It waits for no audience.",
}


def _membership(found: Sequence[ExplainedAudience], *, excluding: bool) -> str:
    """Who is in, or excluded; and where that is why the message is not shown, what would have to change."""
    members = [one for one in found if one.member]
    if excluding:
        said = (
            f"The customer is in {_names(members)}, which it excludes."
            if members
            else "The customer is in no audience that it excludes."
        )
    else:
        said = f"The customer {'is' if members else 'is not'} in {_names(found)}."
    return " ".join([said, *_at_most(sentence for one in found for sentence in what_must_change(one))])


def _names(found: Iterable[ExplainedAudience]) -> str:
    return ", ".join(words.quoted(one.name) for one in found)


def _at_most(sentences: Iterable[str]) -> list[str]:
    first = list(islice(sentences, _MOST_SENTENCES + 1))
    return [*first[:_MOST_SENTENCES], *(["And more; see the conditions."] if len(first) > _MOST_SENTENCES else [])]


def _as_comparison(noun: str, pattern: Pattern) -> Compare:
    return Compare(noun, pattern.op, pattern.value)


def _limits(cap: FrequencyCap) -> CapLimits:
    return CapLimits(
        max_impressions=cap.max_impressions,
        per_seconds=cap.per_s,
        min_interval_seconds=cap.min_interval_s,
        stop_after=list(cap.stop_after),
    )


def _property(compare: Compare, properties: Any) -> ExplainedProperty:
    holds = compile_where([compare])(properties)
    value = properties.get(compare.field)
    needed = "" if holds else f"; {words.would_have_to(compare, hold=True)}"
    return ExplainedProperty(
        condition=words.condition_json(compare, leaf="property"),
        holds=holds,
        value=words.cut(value),
        text=f"{words.is_so(compare, value)}{needed}.",
    )
