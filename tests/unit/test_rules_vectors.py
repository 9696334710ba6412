from typing import get_args

import pytest

from engine.rules import compile_pattern, compile_rules
from tests.support.rule_cases import UNDER_TEST, Group, Somebody, load_cases, load_groups, rings_of
from wire.rule_tree import Compare, Op, leaves, to_json
from wire.rules import RuleError, parse_pattern, parse_rule

GROUPS = load_groups()
INVALID = load_cases("rules-invalid.json")


def held_by(group: Group, somebody: Somebody) -> bool:
    rules = {**group.rules, UNDER_TEST: group.rule}
    membership, rings = compile_rules(rules), rings_of(somebody.history, rules.values())
    held, _ = membership.evaluate(somebody.traits, rings, group.static, group.now_ms)
    return UNDER_TEST in membership.ids_of(held)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_a_rule_holds_for_exactly_the_customers_that_the_vectors_name(group: Group) -> None:
    assert [somebody for somebody in group.holds if not held_by(group, somebody)] == []
    assert [somebody for somebody in group.fails if held_by(group, somebody)] == []


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_a_rule_survives_the_way_to_json_and_back(group: Group) -> None:
    assert repr(parse_rule(to_json(group.rule))) == repr(group.rule)


def test_the_vectors_are_many_and_cover_every_op() -> None:
    assert sum(len(group.holds) + len(group.fails) for group in GROUPS) >= 600
    used = {leaf.op for group in GROUPS for leaf in leaves(group.rule) if isinstance(leaf, Compare)}
    assert used == set(get_args(Op))


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case["name"])
def test_an_invalid_rule_is_refused_with_every_problem(case: dict[str, object]) -> None:
    with pytest.raises(RuleError) as refused:
        parse_rule(case["rule"], leaf=case.get("leaf", "trait"))  # type: ignore[arg-type]
    assert [[problem.pointer, problem.code] for problem in refused.value.problems] == case["problems"]


@pytest.mark.parametrize("case", load_cases("rules-patterns.json"), ids=lambda case: case["pattern"]["value"])
def test_a_pattern_matches_exactly_the_texts_that_the_vectors_name(case: dict[str, list[str]]) -> None:
    test = compile_pattern(parse_pattern(case["pattern"]))
    assert [text for text in case["matches"] if not test(text)] == []
    assert [text for text in case["fails"] if test(text)] == []
