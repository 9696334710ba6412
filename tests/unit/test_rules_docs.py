"""docs/rules.md is what the language means: every example in it is evaluated."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from engine.rules import compile_rules
from tests.support.rule_cases import NOW_MS, Happening, Somebody, rings_of
from wire.literals import moment_ms
from wire.rule_tree import ANY_EVENT, CountOp, Op, Rule
from wire.rules import parse_pattern, parse_rule, parse_where

TEXT = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
BLOCKS = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]


def rows_beginning(start: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith(start)]


TRAIT_ROWS = rows_beginning('| `{"op"')
EVENT_ROWS = [row for row in rows_beginning('| `{"event"') if len(row) == 3]


def spans(cell: str) -> Iterator[Any]:
    return map(json.loads, re.findall(r"`([^`]+)`", cell))


def holding(rule: Rule, people: list[Somebody]) -> list[bool]:
    membership = compile_rules({"it": rule})
    rings = [rings_of(somebody.history, [rule]) for somebody in people]
    evaluated = zip(people, rings, strict=True)
    return [bool(membership.evaluate(each.traits, its, frozenset(), NOW_MS)[0]) for each, its in evaluated]


def with_traits(cell: str) -> list[Somebody]:
    missing = [Somebody()] if cell.endswith("missing") else []
    return [*(Somebody({"x": value}) for value in spans(cell)), *missing]


def with_events(type_: str, cell: str) -> list[Somebody]:
    return [Somebody(history=tuple(happening(type_, event) for event in events)) for events in spans(cell)]


def happening(type_: str, event: Any) -> Happening:
    """A moment, or properties of an event that happened just now."""
    if isinstance(event, dict):
        return Happening(type_, NOW_MS, event)
    at_ms = moment_ms(event)
    assert at_ms is not None
    return Happening(type_, at_ms)


@pytest.mark.parametrize(("condition", "matches", "misses"), TRAIT_ROWS, ids=[row[0] for row in TRAIT_ROWS])
def test_an_example_of_a_trait_is_true(condition: str, matches: str, misses: str) -> None:
    rule = parse_rule({"trait": "x", **json.loads(condition.strip("`"))})
    assert set(holding(rule, with_traits(matches))) == {True}
    assert set(holding(rule, with_traits(misses))) == {False}


@pytest.mark.parametrize(("condition", "matches", "misses"), EVENT_ROWS, ids=[row[0] for row in EVENT_ROWS])
def test_an_example_of_an_event_is_true(condition: str, matches: str, misses: str) -> None:
    written = json.loads(condition.strip("`"))
    type_ = "report.exported" if written["event"] == ANY_EVENT else written["event"]
    assert set(holding(parse_rule(written), with_events(type_, matches))) == {True}
    assert set(holding(parse_rule(written), with_events(type_, misses))) == {False}


def test_the_docs_have_an_example_of_every_operator() -> None:
    assert {next(spans(row[0]))["op"] for row in TRAIT_ROWS} == set(get_args(Op))
    counts = [next(spans(row[0])).get("count") for row in EVENT_ROWS]
    assert {count["op"] for count in counts if count} == set(get_args(CountOp))


def test_the_rules_the_trigger_and_the_goal_in_the_docs_are_valid() -> None:
    *rules, trigger, goal = BLOCKS
    recipes = [next(spans(row[1])) for row in rows_beginning("| ") if len(row) == 2 and '`{"' in row[1]]
    assert (len(rules), len(recipes)) == (2, 6)
    for rule in (*rules, *recipes):
        parse_rule(rule)
    parse_where(trigger["where"])
    parse_pattern(trigger["url"])
    parse_where(goal["where"])
    assert set(goal) == {"eventType", "where", "withinSeconds"}
