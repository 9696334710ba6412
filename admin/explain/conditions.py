"""Audiences seen condition by condition: what holds for a customer, what decides, and what would have to change."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from admin.explain import words
from admin.explain.schemas import ExplainedAudience, ExplainedCondition
from engine.audiences import Audiences
from engine.judging import Judged, judge, tally
from wire import times
from wire.rule_tree import Compare, EventCount, InAudience, audience_refs
from wire.userstate import UserState

MOST_CONDITIONS: Final = 50
MOST_CONDITIONS_REFERRED: Final = 10
"""Of an audience that another one refers to."""


@dataclass(frozen=True, slots=True)
class Described:
    """An audience in the light of one customer."""

    audiences: Audiences
    state: UserState
    now_ms: int
    members: frozenset[str]
    """The audiences that they are in, of those concerned."""
    judged: Mapping[str, Sequence[Judged]]

    def audience(self, audience_id: str, *, turn: bool) -> ExplainedAudience:
        """`turn`: it would have to be otherwise for the message to be shown."""
        return self._audience(audience_id, turn=turn, most=MOST_CONDITIONS, follow=True)

    def _audience(self, audience_id: str, *, turn: bool, most: int, follow: bool) -> ExplainedAudience:
        judged = self.judged.get(audience_id, ())
        shown = _most_telling(judged, most)
        return ExplainedAudience(
            id=audience_id,
            name=self.audiences.names[audience_id],
            member=audience_id in self.members,
            conditions=[self._condition(one, turn=turn, follow=follow) for one in shown],
            left_out=len(judged) - len(shown),
        )

    def _condition(self, judged: Judged, *, turn: bool, follow: bool) -> ExplainedCondition:
        must_change = turn and judged.must_change
        return ExplainedCondition(
            pointer=judged.pointer,
            condition=words.condition_json(judged.condition),
            holds=judged.holds,
            decides=judged.decides,
            must_change=must_change,
            value=self._value(judged),
            text=self._text(judged, must_change),
            changes_at=times.to_iso_or_none(judged.changes_ms),
            audience=self._referred(judged, must_change) if follow else None,
        )

    def _referred(self, judged: Judged, turn: bool) -> ExplainedAudience | None:
        if not isinstance(judged.condition, InAudience):
            return None
        audience_id = judged.condition.audience_id
        return self._audience(audience_id, turn=turn, most=MOST_CONDITIONS_REFERRED, follow=False)

    def _value(self, judged: Judged) -> Any:
        match judged.condition:
            case Compare(field):
                return words.cut(self.state.traits.get(field))
            case EventCount() as leaf:
                counted = tally(leaf, self.state, self.now_ms)
                newest = times.to_iso_or_none(counted.newest_ms)
                return {"count": counted.number, "orMore": counted.or_more, "newestAt": newest}
            case InAudience():
                return judged.holds

    def _text(self, judged: Judged, must_change: bool) -> str:
        said = self._is_so(judged)
        if must_change:
            said += self._needed(judged)
        by_itself = must_change and judged.changes_ms is not None
        return f"{said}. It happens by itself at {times.to_iso(judged.changes_ms or 0)}." if by_itself else f"{said}."

    def _is_so(self, judged: Judged) -> str:
        match judged.condition:
            case Compare(field) as compare:
                return words.is_so(compare, self.state.traits.get(field))
            case EventCount() as leaf:
                return words.happened(leaf, tally(leaf, self.state, self.now_ms))
            case InAudience(audience_id):
                is_in = "is" if judged.holds else "is not"
                return f"The customer {is_in} in “{self.audiences.names[audience_id]}”"

    def _needed(self, judged: Judged) -> str:
        match judged.condition:
            case Compare() as compare:
                return f"; {words.would_have_to(compare, hold=not judged.holds)}"
            case EventCount() as leaf:
                return f", {words.number_needed(leaf, hold=not judged.holds)}"
            case InAudience():
                return " and must not be" if judged.holds else " and would have to be"


def describe(
    audience_ids: Iterable[str], members: frozenset[str], audiences: Audiences, state: UserState, now_ms: int
) -> Described:
    asked = set(audience_ids)
    referred = {ref for id_ in asked & audiences.rules.keys() for ref in audience_refs(audiences.rules[id_])}
    return Described(audiences, state, now_ms, members, judge(asked | referred, audiences.rules, state, now_ms))


def what_must_change(audience: ExplainedAudience) -> Iterator[str]:
    """The sentences of the conditions that would have to change, those of a referred audience after its own."""
    for condition in audience.conditions:
        if condition.must_change:
            yield condition.text
            if condition.audience is not None:
                yield from what_must_change(condition.audience)


def _most_telling(judged: Sequence[Judged], most: int) -> list[Judged]:
    """The first of those that must change, then of those that decide, then of the rest; left to right."""
    if len(judged) <= most:
        return list(judged)
    places = sorted(range(len(judged)), key=lambda place: (not judged[place].must_change, not judged[place].decides))
    return [judged[place] for place in sorted(places[:most])]
