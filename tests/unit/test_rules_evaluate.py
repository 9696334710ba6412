from collections.abc import Mapping
from math import nextafter
from typing import Any

import pytest

from engine.clauses import compile_where
from engine.rules import Membership, compile_rules
from tests.support.rule_cases import NOW_MS, STATIC_ID
from wire.rule_tree import AllOf, AnyOf, Compare, InAudience, Not, Rule
from wire.rules import parse_rule, parse_where

HOUR_MS = 3_600_000
RECENT = Compare("seen", "within_last", "1h")
NOW = "2026-03-15T12:00:00Z"
LESS: dict[str, Any] = {"after": "before", "gt": "lt", "version_gt": "version_lt"}


def change_of(rule: Rule, traits: Mapping[str, object], now_ms: int = NOW_MS) -> int | None:
    return compile_rules({"it": rule}).evaluate(traits, {}, frozenset(), now_ms)[1]


def held_now(
    membership: Membership, traits: Mapping[str, object], static: frozenset[str] = frozenset()
) -> frozenset[str]:
    return membership.ids_of(membership.evaluate(traits, {}, static, NOW_MS)[0])


def test_a_window_ends_one_millisecond_after_its_last() -> None:
    assert change_of(RECENT, {"seen": NOW}) == NOW_MS + HOUR_MS + 1


def test_a_window_over_a_future_date_opens_at_that_date() -> None:
    assert change_of(RECENT, {"seen": "2026-03-15T12:00:00.005Z"}) == NOW_MS + 5


@pytest.mark.parametrize("seen", [None, "2026-03-15T10:59:59.999Z", "never", 5])
def test_a_window_that_cannot_open_never_changes(seen: object) -> None:
    assert change_of(RECENT, {"seen": seen}) is None


def test_a_window_that_decides_nothing_is_no_change() -> None:
    assert change_of(AllOf((RECENT, Compare("plan", "eq", "free"))), {"seen": NOW, "plan": "pro"}) is None
    assert change_of(AnyOf((RECENT, Compare("plan", "eq", "free"))), {"seen": NOW, "plan": "free"}) is None
    assert change_of(AnyOf((RECENT, Not(RECENT))), {"seen": NOW}) is None


def test_the_earliest_of_several_changes_counts() -> None:
    both = AllOf((RECENT, Compare("paid", "within_last", "1m")))
    assert change_of(both, {"seen": NOW, "paid": NOW}) == NOW_MS + 60_001
    either = AnyOf((RECENT, Compare("paid", "within_last", "1m")))
    assert change_of(either, {"seen": NOW, "paid": NOW}) == NOW_MS + HOUR_MS + 1


def test_a_change_reaches_through_audiences() -> None:
    membership = compile_rules({"a": InAudience("b"), "b": Not(InAudience("c")), "c": RECENT})
    traits = {"seen": NOW}
    closes_ms = NOW_MS + HOUR_MS + 1
    assert membership.evaluate(traits, {}, frozenset(), NOW_MS) == (membership.mask_of(["c"]), closes_ms)
    assert membership.evaluate(traits, {}, frozenset(), closes_ms) == (membership.mask_of(["a", "b"]), None)


def test_static_audiences_are_part_of_the_answer_when_they_are_asked_about() -> None:
    membership = compile_rules({"a": InAudience(STATIC_ID)}, ["asked"])
    assert held_now(membership, {}, frozenset({STATIC_ID, "other"})) == {"a", STATIC_ID}
    assert held_now(membership, {}, frozenset({"asked", "other"})) == {"asked"}


def test_clauses_that_python_calls_equal_stay_apart() -> None:
    rules: dict[str, Rule] = {"number": Compare("x", "eq", 1), "truth": Compare("x", "eq", True)}
    membership = compile_rules(rules)
    assert held_now(membership, {"x": 1}) == {"number"}
    assert held_now(membership, {"x": True}) == {"truth"}


def test_no_audiences_hold_for_ever() -> None:
    assert compile_rules({}).evaluate({"x": 1}, {}, frozenset(), NOW_MS) == (0, None)


def test_a_circle_of_audiences_is_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        compile_rules({"a": InAudience("b"), "b": Not(InAudience("a"))})


@pytest.mark.parametrize("value", [10**400, -(10**400), float("inf"), float("nan")])
def test_what_no_double_can_hold_is_no_number(value: object) -> None:
    ops = ("gt", "lt", "eq")
    membership = compile_rules({op: parse_rule({"trait": "x", "op": op, "value": 1}) for op in ops})
    assert held_now(membership, {"x": value}) == frozenset()


@pytest.mark.parametrize(
    "compare",
    [
        Compare("x", "glob", "a\\b"),
        Compare("x", "before", "soon"),
        Compare("x", "within_last", "1y"),
        Compare("x", "version_gt", "beta"),
        Compare("x", "in", "a"),
        Compare("x", "starts_with", 1),
        Compare("x", "eq"),
    ],
)
def test_a_rule_that_was_never_valid_is_refused_when_compiled(compare: Compare) -> None:
    with pytest.raises(ValueError, match=r"not a|compare|read"):
        compile_rules({"it": compare})


def test_where_holds_when_all_of_its_properties_do() -> None:
    where = parse_where(
        [{"property": "pages", "op": "gte", "value": 3}, {"property": "kind", "op": "neq", "value": "x"}]
    )
    test = compile_where(where)
    assert test({"pages": 3})
    assert not test({"pages": 3, "kind": "x"})
    assert not test({"kind": "y"})


def test_an_empty_where_holds_for_every_event() -> None:
    assert compile_where(())({})


@pytest.mark.parametrize(
    ("below", "op", "operand", "above"),
    [
        (nextafter(0.3, 0), "gt", 0.3, nextafter(0.3, 1)),
        (-5e-324, "gt", 0, 5e-324),
        (2**53 - 2, "gt", 2**53 - 1, 2**53),
        ("2026-03-15T11:59:59.999Z", "after", NOW, "2026-03-15T12:00:00.001Z"),
        ("2.0.9.9", "version_gt", "2.1", "2.1.0.1"),
    ],
)
def test_an_operand_is_told_from_its_nearest_neighbours(below: object, op: Any, operand: Any, above: object) -> None:
    more, less = Compare("x", op, operand), Compare("x", LESS[op], operand)
    beside: dict[str, Rule] = {"b": Compare("x", op, below), "a": Compare("x", LESS[op], above)}  # type: ignore[arg-type]
    for others in ({}, beside):
        membership = compile_rules({"more": more, "less": less, **others})
        held = [held_now(membership, {"x": value}) - {"a", "b"} for value in (below, operand, above)]
        assert held == [{"less"}, set(), {"more"}]
