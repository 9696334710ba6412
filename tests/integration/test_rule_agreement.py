"""The compilers of the rule language agree: random audiences, random customers with a past, random moments."""

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from engine.features import FeatureIndex
from engine.reasons import holds, pointed_leaves
from engine.rules import Membership, compile_rules
from tests.support import rule_cases
from tests.support.rule_cases import AUDIENCE_IDS, STATIC_ID, UNDER_TEST, Happening, Somebody, rings_of
from tests.support.stored_people import StoredPeople, stored_people
from wire.features import Feature
from wire.rule_tree import AllOf, AnyOf, CountOp, EventCount, Rule, to_json

FAR_MS = 10**12
"""Later than every window."""

often = settings(
    max_examples=1_000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
seldom = settings(often, max_examples=settings().max_examples)
TURNS = range(settings().max_examples // 100)
"""One in every run, twenty in the nightly one: Hypothesis keeps all examples of a turn in memory."""

MOVING = st.builds(
    EventCount,
    st.sampled_from("ef*"),
    st.just(()),
    st.sampled_from(get_args(CountOp)),
    st.integers(1, 4),
    rule_cases.DURATIONS,
)


@st.composite
def lively_audiences(draw: st.DrawFn) -> dict[str, Rule]:
    """Of most random audiences nothing is about to change; in these there is something that moves."""
    rules: dict[str, Rule] = draw(rule_cases.AUDIENCES)
    pairs = {id_: (draw(MOVING), rule) for id_, rule in rules.items()}
    return {id_: AllOf(pair) if draw(st.booleans()) else AnyOf(pair) for id_, pair in pairs.items()}


RANDOM_AUDIENCES = st.one_of(lively_audiences(), lively_audiences(), rule_cases.AUDIENCES)
RANDOM_PEOPLE = st.lists(rule_cases.PEOPLE, min_size=4, max_size=6)
RANDOM_STATIC = st.sampled_from([(), (STATIC_ID,)])


@pytest.fixture
def stored(database_url: str) -> Iterator[StoredPeople]:
    with stored_people(database_url) as people:
        yield people


class InPython:
    """What the engine says of a customer of whom it keeps only what it must."""

    def __init__(self, rules: Mapping[str, Rule], somebody: Somebody, static: Sequence[str]) -> None:
        self._membership: Membership = compile_rules(rules)
        self._rings = rings_of(somebody.history, rules.values())
        self._traits, self._static = somebody.traits, frozenset(static)

    def at(self, now_ms: int) -> tuple[frozenset[str], int | None]:
        """The audiences, and when they next change."""
        held, change_ms = self._membership.evaluate(self._traits, self._rings, self._static, now_ms)
        return self._membership.ids_of(held) - {STATIC_ID}, change_ms


@pytest.mark.parametrize("turn", TURNS)
@often
@given(
    rules=RANDOM_AUDIENCES,
    people=RANDOM_PEOPLE,
    static=RANDOM_STATIC,
    now_ms=rule_cases.NOWS_MS,
)
def test_python_and_postgres_agree_now_and_on_what_changes_next_and_when(
    stored: StoredPeople,
    turn: int,
    rules: dict[str, Rule],
    people: list[Somebody],
    static: tuple[str, ...],
    now_ms: int,
) -> None:
    stored.replace(people, static)
    inside = in_postgres(stored, rules, now_ms)
    changes: dict[int, int | None] = {}
    for place, somebody in enumerate(people):
        expected, changes[place] = InPython(rules, somebody, static).at(now_ms)
        assert inside[place] == expected
    for change_ms in sorted({each for each in changes.values() if each is not None}):
        assert change_ms > now_ms
        before, after = (in_postgres(stored, rules, at_ms) for at_ms in (change_ms - 1, change_ms))
        for place in (place for place, theirs in changes.items() if theirs == change_ms):
            assert before[place] == inside[place] != after[place]
    if None in changes.values():
        finally_ = in_postgres(stored, rules, now_ms + FAR_MS)
        assert all(finally_[place] == inside[place] for place, change_ms in changes.items() if change_ms is None)
    event(f"changes ahead: {sum(each is not None for each in changes.values())}")


@seldom
@given(RANDOM_AUDIENCES, RANDOM_PEOPLE, RANDOM_STATIC, rule_cases.NOWS_MS)
def test_a_where_with_the_rule_leaves_just_those_whom_python_finds(
    stored: StoredPeople, rules: dict[str, Rule], people: list[Somebody], static: tuple[str, ...], now_ms: int
) -> None:
    stored.replace(people, static)
    for id_ in AUDIENCE_IDS:
        expected = [
            place for place, somebody in enumerate(people) if id_ in InPython(rules, somebody, static).at(now_ms)[0]
        ]
        assert stored.chosen(rules[id_], rules, now_ms) == expected


@seldom
@given(RANDOM_AUDIENCES, rule_cases.PEOPLE, RANDOM_STATIC, rule_cases.NOWS_MS)
def test_each_leaf_of_a_rule_holds_for_a_customer_where_python_says_so(
    stored: StoredPeople, rules: dict[str, Rule], somebody: Somebody, static: tuple[str, ...], now_ms: int
) -> None:
    stored.replace([somebody], static)
    rule = rules[AUDIENCE_IDS[-1]]
    results = stored.leaves(0, rule, rules, now_ms)
    assert results is not None
    leaves = list(pointed_leaves(rule))
    assert [(each.pointer, each.condition) for each in results] == [
        (leaf.pointer, to_json(leaf.condition)) for leaf in leaves
    ]
    for leaf, result in zip(leaves, results, strict=True):
        alone, _ = InPython({**rules, UNDER_TEST: leaf.condition}, somebody, static).at(now_ms)
        assert result.holds is (UNDER_TEST in alone)
    whole, _ = InPython(rules, somebody, static).at(now_ms)
    leaf_holds = {result.pointer: result.holds for result in results}
    assert holds(rule, leaf_holds.__getitem__) is (AUDIENCE_IDS[-1] in whole)


@seldom
@given(
    st.lists(rule_cases.EVENT_COUNTS, min_size=1, max_size=6),
    st.lists(rule_cases.HAPPENINGS, min_size=1, max_size=12, unique_by=lambda each: each.occurred_ms),
)
def test_postgres_and_python_agree_on_which_events_belong_to_a_feature(
    stored: StoredPeople, leaves: list[EventCount], happenings: list[Happening]
) -> None:
    features = [Feature(leaf.event, leaf.where, 1) for leaf in leaves]
    stored.replace([Somebody(history=tuple(happenings))])
    for feature, counted in zip(features, stored.counted_by(features), strict=True):
        index = FeatureIndex([feature])
        assert counted == {each.occurred_ms for each in happenings if list(index.of(each.type, each.properties))}


def in_postgres(stored: StoredPeople, rules: Mapping[str, Rule], now_ms: int) -> list[frozenset[str]]:
    """Customer by customer, the audiences that they are in."""
    answers = stored.answers(rules, rules, now_ms)
    for answer in answers:
        assert None not in answer.values()
    return [frozenset(id_ for id_, holds in answer.items() if holds) for answer in answers]
