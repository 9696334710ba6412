"""Tests on strings. All of them take time linear in the text, whatever the pattern."""

from collections.abc import Callable

from wire.literals import glob_literals
from wire.rule_tree import PatternOp

TextTest = Callable[[str], bool]


def text_test(op: PatternOp, operand: str) -> TextTest:
    """Case-sensitive, by code point. Raises ValueError for a glob that `parse_rule` would have refused."""
    match op:
        case "eq":
            return lambda text: text == operand
        case "contains":
            return lambda text: operand in text
        case "starts_with":
            return lambda text: text.startswith(operand)
        case "ends_with":
            return lambda text: text.endswith(operand)
        case "glob":
            return _glob(operand)


def _glob(pattern: str) -> TextTest:
    literals = glob_literals(pattern)
    if literals is None:
        raise ValueError(f"not a glob: {pattern!r}")
    if len(literals) == 1:
        return text_test("eq", literals[0])
    first, *middle, last = literals

    def matches(text: str) -> bool:
        end = len(text) - len(last)
        if end < len(first) or not text.startswith(first) or not text.endswith(last):
            return False
        return _found_in_order(text, middle, len(first), end)

    return matches


def _found_in_order(text: str, literals: list[str], start: int, end: int) -> bool:
    """Taking each literal as early as possible leaves the most room for the rest, so there is nothing to go back to."""
    for literal in literals:
        at = text.find(literal, start, end)
        if at < 0:
            return False
        start = at + len(literal)
    return True
