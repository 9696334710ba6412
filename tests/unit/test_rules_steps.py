"""Rules are compiled in small steps, and what has not changed is not compiled again."""

import gc
import sys
import weakref
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.rules import Membership, compile_rules, compiling
from engine.steps import finish
from tests.support import rule_cases
from tests.support.rule_cases import NOW_MS, STATIC_ID, Somebody, rings_of
from wire.features import feature_id
from wire.rule_tree import AllOf, AnyOf, Compare, EventCount, InAudience, Not, Rule

MOST_LINES = 4_000
"""Of Python, in one step: some tenths of a millisecond."""

PLAN, SEATS, PAID = Compare("plan", "eq", "free"), Compare("seats", "gte", 3), EventCount("paid", within="1d")
PAID_ID = feature_id("paid", ())
RULES: dict[str, Rule] = {
    "a": PLAN,
    "b": AllOf((SEATS, Not(PLAN))),
    "c": AnyOf((PAID, InAudience("a"))),
    "d": AllOf((Compare("version", "version_gt", "1.2"), InAudience("b"), InAudience(STATIC_ID))),
    "two choices": AllOf((AnyOf((Compare("team", "exists"), PAID)), AnyOf((Compare("team", "eq", "x"), PAID)))),
}


@contextmanager
def counted_lines() -> Iterator[list[int]]:
    """The only item of the list grows with every line of Python that runs."""
    lines, tracing = [0], sys.gettrace()

    def line(_frame: FrameType, event: str, _argument: object) -> Any:
        lines[0] += event == "line"
        return line

    sys.settrace(line)
    try:
        yield lines
    finally:
        sys.settrace(tracing)


def lines_a_step(steps: Generator[None, None, Membership]) -> list[int]:
    counts = []
    with counted_lines() as lines:
        for _ in steps:
            counts.append(lines[0])
            lines[0] = 0
    return [*counts, lines[0]]


def many_audiences() -> dict[str, Rule]:
    return {
        f"{number}": AllOf((Compare(f"t{number % 40}", "eq", f"{number}"), EventCount("e", count=1 + number % 9)))
        for number in range(1_000)
    }


def large_rules() -> dict[str, Rule]:
    return {
        f"{number}": AnyOf(tuple(Compare(f"t{(number + part) % 9}", "gt", part) for part in range(200)))
        for number in range(30)
    }


def long_lists() -> dict[str, Rule]:
    return {
        f"{number}": Compare("country", "in", tuple(f"{number * part % 6_007}" for part in range(500)))
        for number in range(70)
    }


def a_long_chain() -> dict[str, Rule]:
    return {"0": PAID, **{f"{number}": Not(InAudience(f"{number - 1}")) for number in range(1, 500)}}


@pytest.mark.parametrize("rules", [many_audiences, large_rules, long_lists, a_long_chain])
def test_no_step_takes_long(rules: Any) -> None:
    first = rules()
    lines = lines_a_step(compiling(first))
    assert max(lines) < MOST_LINES < sum(lines)
    edited = {**first, "0": PLAN}
    assert max(lines_a_step(compiling(edited, (), compile_rules(first)))) < MOST_LINES


def test_rules_that_have_not_changed_are_not_compiled_again() -> None:
    before = compile_rules(RULES, ["list"])
    copies = {audience_id: again(rule) for audience_id, rule in reversed(RULES.items())}
    for rules in (dict(RULES), copies):
        assert finish(compiling(rules, ["list"], before)) is before


def again(rule: Rule) -> Rule:
    """Equal, and made of other objects."""
    match rule:
        case AllOf(rules):
            return AllOf(tuple(map(again, rules)))
        case AnyOf(rules):
            return AnyOf(tuple(map(again, rules)))
        case Not(negated):
            return Not(again(negated))
        case _:
            return replace(rule)


@pytest.mark.parametrize(
    ("rules", "static"),
    [
        (RULES, ["list", "other"]),
        (RULES, []),
        ({**RULES, "e": PLAN}, ["list"]),
        ({"a": PLAN}, ["list"]),
        ({**RULES, "a": Compare("plan", "eq", "pro")}, ["list"]),
    ],
)
def test_rules_that_have_changed_are_compiled_anew(rules: dict[str, Rule], static: list[str]) -> None:
    after = finish(compiling(rules, static, compile_rules(RULES, ["list"])))
    assert set(after.ids) == {*rules, *static, *([STATIC_ID] if "d" in rules else [])}
    assert held(after, {"plan": "pro"}) == held(compile_rules(rules, static), {"plan": "pro"})


def test_a_change_that_python_calls_none_is_one() -> None:
    before = compile_rules({"a": Compare("x", "eq", True)})
    after = finish(compiling({"a": Compare("x", "eq", 1)}, (), before))
    assert (held(before, {"x": True}), held(after, {"x": True}), held(after, {"x": 1})) == ({"a"}, set(), {"a"})


def held(membership: Membership, traits: Mapping[str, object]) -> set[str]:
    return set(membership.ids_of(membership.evaluate(traits, {}, frozenset(), NOW_MS)[0]))


@pytest.mark.parametrize(
    ("edit", "looked_at"),
    [
        ({"b": AllOf((SEATS, Compare("role", "exists")))}, {"plan", "role"}),
        ({"e": Compare("seats", "lt", 9)}, {"seats"}),
        ({"e": Compare("plan", "before", "2026-01-01T00:00:00Z")}, {"plan"}),
        ({"e": InAudience("c")}, {"plan", PAID_ID}),
        ({"e": AnyOf((InAudience("d"), Compare("role", "exists")))}, {"role"}),
    ],
)
def test_an_edit_compiles_only_what_looks_at_the_same_traits(edit: dict[str, Rule], looked_at: set[str]) -> None:
    rules = {**RULES, **{f"{number}": EventCount(f"e{number}") for number in range(20)}}
    before = compile_rules(rules)
    after = finish(compiling({**rules, **edit}, (), before))
    known = {id(column) for column in before.wiring.columns.values()}
    assert {name for (_, name, _), column in after.wiring.columns.items() if id(column) not in known} == looked_at


def test_what_was_compiled_long_ago_is_let_go() -> None:
    first = compile_rules(RULES)
    gone = weakref.ref(first), weakref.ref(first.gates)
    second = finish(compiling({**RULES, "a": SEATS}, (), first))
    third = finish(compiling({**RULES, "a": PAID}, (), second))
    del first
    gc.collect()
    assert [each() for each in gone] == [None, None]
    assert third.ids


@settings(max_examples=150, deadline=None)
@given(
    rules=rule_cases.AUDIENCES,
    others=rule_cases.AUDIENCES,
    fates=st.lists(st.sampled_from(["kept", "edited", "removed"]), min_size=3, max_size=3),
    somebody=rule_cases.PEOPLE,
    static=st.sampled_from([frozenset[str](), frozenset({STATIC_ID})]),
    now_ms=rule_cases.NOWS_MS,
)
def test_what_is_compiled_after_something_else_is_as_if_compiled_afresh(
    rules: dict[str, Rule],
    others: dict[str, Rule],
    fates: list[str],
    somebody: Somebody,
    static: frozenset[str],
    now_ms: int,
) -> None:
    changed = {
        audience_id: rules[audience_id] if fate == "kept" else others[audience_id]
        for audience_id, fate in zip(rules, fates, strict=True)
        if fate != "removed"
    }
    after, afresh = finish(compiling(changed, (), compile_rules(rules))), compile_rules(changed)
    rings = rings_of(somebody.history, changed.values())
    (mask, change_ms), (fresh_mask, fresh_ms) = (
        each.evaluate(somebody.traits, rings, static, now_ms) for each in (after, afresh)
    )
    assert (after.ids_of(mask), change_ms) == (afresh.ids_of(fresh_mask), fresh_ms)
