"""Explaining agrees with deciding, whatever the messages, the customer and the moment."""

import operator
import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.explain import words
from engine import caps
from engine import decide as decide_module
from engine import explain as explain_module
from engine.decide import Context, decide, person, verdict
from engine.explain import Check, explain
from engine.judging import Judged, judge, tally
from engine.reasons import holds as rule_holds
from engine.reasons import must_change, pointed_leaves
from engine.table import OrgTable
from tests.support.org_cases import CONTEXTS, Rules, Targeted, message, orgs, state_of, table_of
from tests.support.rule_cases import AUDIENCE_IDS, AUDIENCES, NOW_MS, PEOPLE, STATIC_ID, Somebody
from wire.features import feature_id
from wire.rule_tree import Compare, CountOp, EventCount, Op
from wire.rules import parse_rule
from wire.times import to_iso
from wire.userstate import UserState

ORDERS = {
    "gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt, "eq": operator.eq, "neq": operator.ne,
}  # fmt: skip


def only(checks: list[Check], rule: str) -> Check:
    (check,) = [check for check in checks if check.name == rule]
    return check


def reasons(checks: list[Check]) -> list[str]:
    return [check.reason for check in checks if check.reason is not None]


@given(orgs(), CONTEXTS)
def test_the_first_rule_that_fails_has_the_reason_of_the_verdict(
    drawn: tuple[OrgTable, UserState, Rules], context: Context
) -> None:
    table, state, _ = drawn
    somebody = person(table, state, {}, NOW_MS)
    for prepared in table.messages:
        *checks, _slot = explain(table, prepared.message.id, state, context, NOW_MS)
        assert next(iter(reasons(checks)), None) == verdict(prepared, somebody, context, NOW_MS).reason


@given(orgs(), CONTEXTS)
def test_everything_passes_exactly_where_the_message_is_given_and_wins_its_slot(
    drawn: tuple[OrgTable, UserState, Rules], context: Context
) -> None:
    table, state, _ = drawn
    somebody = person(table, state, {}, NOW_MS)
    given_now = {one.message.id for one in decide(table, somebody, context, NOW_MS)}
    resolved = decide(table, somebody, context._replace(resolve=True), NOW_MS)
    winners = {one.message.id for one in resolved}
    first = {one.message.slot: table.messages.index(one) for one in resolved}
    for place, prepared in enumerate(table.messages):
        checks = explain(table, prepared.message.id, state, context, NOW_MS)
        passes = not reasons(checks)
        outranked = first.get(prepared.message.slot, place) < place
        assert passes == (prepared.message.id in given_now and not outranked)
        if not any(check.on_device for check in checks):
            assert passes == (prepared.message.id in winners)


@given(orgs(), CONTEXTS)
def test_a_rule_changes_by_itself_at_the_moment_that_it_names_and_not_before(
    drawn: tuple[OrgTable, UserState, Rules], context: Context
) -> None:
    table, state, _ = drawn

    def at(now_ms: int) -> list[Check]:
        return explain(table, table.messages[-1].message.id, state, context, now_ms)

    now = at(NOW_MS)
    for place, check in enumerate(now):
        if check.changes_ms is not None:
            assert at(check.changes_ms)[place].reason != check.reason
            assert at(check.changes_ms - 1)[place].reason == check.reason
        elif check.name != "slot":
            assert at(NOW_MS + 10**12)[place].reason == check.reason


def test_a_rival_that_waits_for_something_unsaid_does_not_win_and_one_that_need_not_wait_does() -> None:
    waiting = message("waiting", priority=90, trigger={"url": {"op": "eq", "value": "here"}})
    table = table_of([Targeted(None, waiting), Targeted(None, message())], {})
    assert only(explain(table, "m", UserState(), Context(), NOW_MS), "slot").passes
    assert only(explain(table, "m", UserState(), Context(url="here"), NOW_MS), "slot").outranked_by == "waiting"
    assert only(explain(table, "m", UserState(), Context(url="there"), NOW_MS), "slot").passes


def test_what_changes_in_another_audience_does_not_change_an_audience() -> None:
    mine, other, _ = AUDIENCE_IDS
    rules = {
        mine: Compare("seen", "within_last", "1h"),
        other: Compare("seen", "within_last", "1m"),
    }
    table = table_of([Targeted(mine, message(exclude_audience_ids=(other,)))], rules)
    checks = explain(table, "m", UserState(traits={"seen": to_iso(NOW_MS)}), Context(), NOW_MS)
    assert [only(checks, rule).changes_ms for rule in ("audience", "excluded_audiences")] == [
        NOW_MS + 3_600_001,
        NOW_MS + 60_001,
    ]


# Conditions


@given(AUDIENCES, PEOPLE, st.booleans())
def test_each_condition_is_judged_as_the_rule_judges_it(rules: Rules, somebody: Somebody, listed: bool) -> None:
    static = frozenset({STATIC_ID}) if listed else frozenset()
    state = state_of(somebody, rules, static_audiences=static)
    table = table_of([], rules)
    members = table.membership.ids_of(person(table, state, {}, NOW_MS).audiences)
    for audience_id, judged in judge(AUDIENCE_IDS, rules, state, NOW_MS).items():
        holds = {one.pointer: one.holds for one in judged}
        assert [one.pointer for one in judged] == [leaf.pointer for leaf in pointed_leaves(rules[audience_id])]
        assert rule_holds(rules[audience_id], holds.__getitem__) == (audience_id in members)


@given(AUDIENCES, PEOPLE)
def test_a_condition_changes_by_itself_at_the_moment_that_it_names(rules: Rules, somebody: Somebody) -> None:
    state = state_of(somebody, rules)

    def at(now_ms: int) -> list[Judged]:
        return [one for judged in judge(AUDIENCE_IDS, rules, state, now_ms).values() for one in judged]

    now = at(NOW_MS)
    for place, one in enumerate(now):
        if one.changes_ms is None:
            assert at(NOW_MS + 10**12)[place].holds == one.holds
        else:
            assert at(one.changes_ms)[place].holds != one.holds == at(one.changes_ms - 1)[place].holds


@given(AUDIENCES, PEOPLE)
def test_a_tally_of_events_says_why_its_condition_holds(rules: Rules, somebody: Somebody) -> None:
    state = state_of(somebody, rules)
    for judged in judge(AUDIENCE_IDS, rules, state, NOW_MS).values():
        for one in judged:
            if isinstance(one.condition, EventCount):
                counted = tally(one.condition, state, NOW_MS)
                assert ORDERS[one.condition.op](counted.number, one.condition.count) == one.holds


@given(AUDIENCES, st.integers(0, 2**12))
def test_turning_over_what_must_change_turns_over_the_rule_and_nothing_less_does(rules: Rules, bits: int) -> None:
    rule = rules[AUDIENCE_IDS[0]]
    holds = {leaf.pointer: bool(bits >> place & 1) for place, leaf in enumerate(pointed_leaves(rule))}
    turned = must_change(rule, holds.__getitem__)
    before = rule_holds(rule, holds.__getitem__)
    if turned:
        flipped = {pointer: value is not (pointer in turned) for pointer, value in holds.items()}
        assert rule_holds(rule, flipped.__getitem__) is not before
        for kept in turned:
            assert rule_holds(rule, {**flipped, kept: holds[kept]}.__getitem__) is before
    else:
        assert all(rule_holds(rule, dict.fromkeys(holds, value).__getitem__) is before for value in (True, False))


def test_the_smallest_way_to_turn_a_rule_over_is_taken() -> None:
    a, b, c = ({"trait": name, "op": "exists"} for name in "abc")
    rule = parse_rule({"any": [{"all": [a, b]}, c]})
    assert must_change(rule, lambda _: False) == ["/any/1"]
    assert must_change(rule, lambda _: True) == ["/any/0/all/0", "/any/1"]
    assert must_change(rule, lambda pointer: pointer == "/any/0/all/0") == ["/any/0/all/1"]


def test_a_condition_that_changes_twice_names_the_first_time_and_counts_both_ends_of_its_window() -> None:
    leaf = EventCount("e", (), "eq", 1, "1m")
    state = UserState(rings={feature_id("e", ()): (NOW_MS - 1_000, NOW_MS - 60_000)})
    (judged,) = judge(["it"], {"it": leaf}, state, NOW_MS)["it"]
    assert (judged.holds, judged.changes_ms) == (False, NOW_MS + 1)
    assert tally(leaf, state, NOW_MS) == (2, True, NOW_MS - 1_000)
    assert tally(leaf, state, NOW_MS + 1) == (1, False, NOW_MS - 1_000)
    assert tally(leaf, UserState(), NOW_MS) == (0, False, None)


@pytest.mark.parametrize("op", get_args(Op))
def test_every_operator_can_be_said_and_its_opposite_differently(op: Op) -> None:
    asked, must_not = (words.would_have_to(Compare("x", op, "1"), hold=hold) for hold in (True, False))
    assert {asked.startswith("it must not"), must_not.startswith("it must not")} == {True, False}


@pytest.mark.parametrize("op", get_args(CountOp))
def test_every_comparison_of_a_count_can_be_said_both_ways(op: CountOp) -> None:
    leaf = EventCount("e", (), op, 3)
    assert words.number_needed(leaf, hold=True) != words.number_needed(leaf, hold=False)


# What the docs say

DOCS = (Path(__file__).parents[2] / "docs" / "explain.md").read_text()
ROWS = set(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", DOCS, re.MULTILINE))
REASONS = {
    value
    for module in (decide_module, caps, explain_module)
    for name, value in vars(module).items()
    if name.isupper() and not name.startswith("_") and isinstance(value, str)
}


def test_the_docs_have_every_reason_once_and_no_other() -> None:
    listed = [reason for _, reason in ROWS]
    assert len(listed) == len(set(listed))
    assert {*listed, decide_module.STATE_UNKNOWN, decide_module.UNVERIFIED} == REASONS
    assert {rule for rule, _ in ROWS} == set(get_args(explain_module.CheckName))


@given(orgs(), CONTEXTS)
def test_the_docs_name_the_reasons_that_each_rule_can_have(
    drawn: tuple[OrgTable, UserState, Rules], context: Context
) -> None:
    table, state, _ = drawn
    for prepared in table.messages:
        for check in explain(table, prepared.message.id, state, context, NOW_MS):
            assert check.passes or (check.name, check.reason) in ROWS
