import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from engine.rules import compile_rules
from tests.support.rule_cases import NOW_MS
from wire.rule_tree import Op
from wire.rules import parse_pattern, parse_rule, parse_where

TEXT = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
ROWS = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith('| `{"op"')]
BLOCKS = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]


def traits_in(cell: str) -> list[dict[str, Any]]:
    values = [{"x": json.loads(span)} for span in re.findall(r"`([^`]+)`", cell)]
    return [*values, {}] if cell.endswith("missing") else values


@pytest.mark.parametrize(("condition", "matches", "misses"), ROWS, ids=[row[0] for row in ROWS])
def test_an_example_in_the_docs_is_true(condition: str, matches: str, misses: str) -> None:
    membership = compile_rules({"it": parse_rule({"trait": "x", **json.loads(condition.strip("`"))})})
    held = [bool(membership.evaluate(traits, frozenset(), NOW_MS)[0]) for traits in traits_in(matches)]
    missed = [bool(membership.evaluate(traits, frozenset(), NOW_MS)[0]) for traits in traits_in(misses)]
    assert held == [True] * len(held) != []
    assert missed == [False] * len(missed) != []


def test_the_docs_have_an_example_of_every_operator() -> None:
    assert {json.loads(condition.strip("`"))["op"] for condition, _, _ in ROWS} == set(get_args(Op))


def test_the_rule_and_the_trigger_in_the_docs_are_valid() -> None:
    rule, trigger = BLOCKS
    parse_rule(rule)
    parse_where(trigger["where"])
    parse_pattern(trigger["url"])
