"""Reading the audience rule language: JSON → `wire.rule_tree`, with every problem at once."""

import re
from collections.abc import Mapping, Sequence
from typing import Final, cast, get_args

from wire import problems
from wire.intake import event_type_flaw
from wire.operands import operand_flaw
from wire.plain import flaw, text_flaw
from wire.problems import Problem, child_pointer
from wire.rule_tree import (
    ANY_EVENT,
    MOVING_OPS,
    AllOf,
    AnyOf,
    Compare,
    CountOp,
    EventCount,
    InAudience,
    Leaf,
    Not,
    Op,
    Pattern,
    PatternOp,
    Rule,
    Scalar,
)

MAX_DEPTH: Final = 10
MAX_LEAVES: Final = 200
MAX_WHERE: Final = 20
MAX_LIST: Final = 500
MAX_NAME_CHARS: Final = 128
MAX_STRING_CHARS: Final = 1_024
MAX_COUNT: Final = 500
"""User states keep the moments of so many events, and one more."""

_OPS: Final = frozenset(get_args(Op))
_PATTERN_OPS: Final = frozenset(get_args(PatternOp))
_COUNT_OPS: Final = frozenset(get_args(CountOp))
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class RuleError(ValueError):
    """A rule cannot be accepted; `problems` lists everything that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{problem.pointer or '/'}: {problem.message}" for problem in problems))
        self.problems = problems


def parse_rule(value: object, *, leaf: Leaf = "trait", pointer: str = "") -> Rule:
    """JSON → rule. `pointer` is where the rule sits in the payload. Raises RuleError with every problem at once."""
    reader = _Reader(leaf)
    rule = reader.rule(value, pointer, depth=0)
    if reader.leaves > MAX_LEAVES:
        reader.report(
            pointer, "too_many_leaves", f"Use at most {MAX_LEAVES} conditions; this rule has {reader.leaves}."
        )
    reader.raise_problems()
    return rule


def parse_where(value: object, *, pointer: str = "") -> tuple[Compare, ...]:
    """JSON list of property leaves, all of which must hold. Raises RuleError."""
    reader = _Reader("property")
    where = reader.where(value, pointer)
    reader.raise_problems()
    return where


def parse_pattern(value: object, *, pointer: str = "") -> Pattern:
    """`{"op","value"}` of a URL or screen trigger. Raises RuleError."""
    reader = _Reader("property")
    pattern = reader.pattern(value, pointer)
    reader.raise_problems()
    return pattern


class _Reader:
    """Reads one rule, collecting problems. Where something is wrong it returns a stand-in, which nobody sees."""

    def __init__(self, leaf: Leaf) -> None:
        self.leaf: Leaf = leaf
        self.leaves = 0
        self.problems: list[Problem] = []

    def report(self, pointer: str, code: str, message: str) -> None:
        self.problems.append(Problem(pointer, code, message))

    def raise_problems(self) -> None:
        if self.problems:
            raise RuleError(self.problems)

    def rule(self, value: object, pointer: str, depth: int) -> Rule:
        kinds = ("all", "any", "not", "event", "audience", self.leaf)
        if not isinstance(value, dict):
            self.report(pointer, "wrong_type", f"A condition is an object with one of {_words(kinds)}.")
            return _NOTHING
        present = [kind for kind in kinds if kind in value]
        if len(present) != 1:
            self.report(pointer, "ambiguous_rule" if present else "unknown_rule", _one_kind(kinds, present, value))
            return _NOTHING
        kind = present[0]
        if kind in ("all", "any", "not"):
            return self.combination(kind, value, pointer, depth)
        self.leaves += 1
        if kind == "event":
            return self.event(value, pointer)
        return self.audience(value, pointer) if kind == "audience" else self.compare(value, pointer)

    def combination(self, kind: str, value: dict[str, object], pointer: str, depth: int) -> Rule:
        self.only_fields(value, {kind}, pointer)
        inner, at = value[kind], child_pointer(pointer, kind)
        if depth == MAX_DEPTH:
            self.report(pointer, "too_deep", f"Nest all, any and not at most {MAX_DEPTH} deep.")
            return _NOTHING
        if kind == "not":
            return Not(self.rule(inner, at, depth + 1))
        if not isinstance(inner, list):
            self.report(at, "wrong_type", f"'{kind}' takes a list of conditions.")
            return _NOTHING
        rules = tuple(self.rule(part, child_pointer(at, index), depth + 1) for index, part in enumerate(inner))
        return AllOf(rules) if kind == "all" else AnyOf(rules)

    def audience(self, value: dict[str, object], pointer: str) -> Rule:
        self.only_fields(value, {"audience"}, pointer)
        audience_id = value["audience"]
        at = child_pointer(pointer, "audience")
        if self.leaf == "property":
            self.report(
                pointer, "not_allowed_here", "Conditions on an event look at its properties only, not at audiences."
            )
        elif not isinstance(audience_id, str) or _UUID.fullmatch(audience_id.lower()) is None:
            self.report(at, *problems.NO_UUID)
        else:
            return InAudience(audience_id.lower())
        return _NOTHING

    def event(self, value: dict[str, object], pointer: str) -> Rule:
        if self.leaf == "property":
            self.report(
                pointer, "not_allowed_here", "Conditions on an event look at its properties only, not at other events."
            )
            return _NOTHING
        self.only_fields(value, {"event", "where", "count", "within"}, pointer)
        properties = _Reader("property")
        where = properties.where(value["where"], child_pointer(pointer, "where")) if "where" in value else ()
        self.problems += properties.problems
        self.leaves += len(where)
        op, count = self.count(value, pointer)
        event = self.event_type(value["event"], child_pointer(pointer, "event"))
        return EventCount(event, where, op, count, self.within(value, pointer))

    def event_type(self, value: object, pointer: str) -> str:
        if not isinstance(value, str):
            self.report(pointer, "wrong_type", f"Give the type of an event, as text, or '{ANY_EVENT}' for any.")
            return ANY_EVENT
        if value != ANY_EVENT and (unfit := event_type_flaw(value)):
            self.report(pointer, *unfit)
        return value

    def count(self, value: dict[str, object], pointer: str) -> tuple[CountOp, int]:
        """At least once, unless the condition says otherwise."""
        if "count" not in value:
            return "gte", 1
        count, at = value["count"], child_pointer(pointer, "count")
        if not isinstance(count, dict):
            self.report(at, "wrong_type", "'count' is an object with 'op' and 'value'.")
            return "gte", 1
        self.only_fields(count, {"op", "value"}, at)
        op, number = self.op(count, at, _COUNT_OPS), count.get("value")
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_COUNT:
            code = "missing_field" if "value" not in count else "out_of_range"
            self.report(child_pointer(at, "value"), code, f"Give a whole number from 0 to {MAX_COUNT}.")
            number = 1
        return cast(CountOp, op or "gte"), number

    def within(self, value: dict[str, object], pointer: str) -> str | None:
        within, at = value.get("within"), child_pointer(pointer, "within")
        if within is None:
            return None
        if not isinstance(within, str):
            self.report(at, "wrong_type", "Give a duration as text, like 14d, or leave it out for ever.")
            return None
        if unfit := operand_flaw("within_last", within):
            self.report(at, *unfit)
        return within

    def where(self, value: object, pointer: str) -> tuple[Compare, ...]:
        if not isinstance(value, list):
            self.report(pointer, "wrong_type", "'where' takes a list of conditions on properties.")
            return ()
        if len(value) > MAX_WHERE:
            self.report(pointer, "too_many_leaves", f"Use at most {MAX_WHERE} conditions; this list has {len(value)}.")
        return tuple(self.where_leaf(part, child_pointer(pointer, index)) for index, part in enumerate(value))

    def where_leaf(self, value: object, pointer: str) -> Compare:
        if isinstance(value, dict) and "property" in value:
            return self.compare(value, pointer)
        self.report(pointer, "unknown_rule", "A condition here is an object with 'property', 'op' and 'value'.")
        return _NOTHING

    def compare(self, value: dict[str, object], pointer: str) -> Compare:
        self.only_fields(value, {self.leaf, "op", "value"}, pointer)
        field = self.name(value[self.leaf], child_pointer(pointer, self.leaf))
        op = self.op(value, pointer, _OPS)
        if op is None:
            return _NOTHING
        if self.leaf == "property" and op in MOVING_OPS:
            at = child_pointer(pointer, "op")
            self.report(
                at, "not_allowed_here", f"'{op}' moves with the clock and an event does not; use before or after."
            )
        return Compare(field, cast(Op, op), self.operand(op, value, pointer))

    def pattern(self, value: object, pointer: str) -> Pattern:
        if not isinstance(value, dict):
            self.report(pointer, "wrong_type", "A pattern is an object with 'op' and 'value'.")
            return Pattern("eq", "")
        self.only_fields(value, {"op", "value"}, pointer)
        op = self.op(value, pointer, _PATTERN_OPS)
        if op is None:
            return Pattern("eq", "")
        operand = self.operand(op, value, pointer)
        if isinstance(operand, str):
            return Pattern(cast(PatternOp, op), operand)
        if operand is not None:
            self.report(child_pointer(pointer, "value"), "wrong_type", f"'{op}' compares with text here.")
        return Pattern("eq", "")

    def op(self, value: dict[str, object], pointer: str, allowed: frozenset[str]) -> str | None:
        op = value.get("op")
        if isinstance(op, str) and op in allowed:
            return op
        at, message = child_pointer(pointer, "op"), f"'op' is one of {_words(sorted(allowed))}."
        self.report(at, "unknown_op" if "op" in value else "missing_field", message)
        return None

    def operand(self, op: str, value: dict[str, object], pointer: str) -> Scalar | tuple[Scalar, ...] | None:
        at = child_pointer(pointer, "value")
        if op in ("exists", "not_exists"):
            if "value" in value:
                self.report(at, "unexpected_value", f"'{op}' takes no value; leave it out.")
            return None
        if "value" not in value:
            self.report(at, "missing_field", f"'{op}' needs a 'value' to compare with.")
            return None
        operand = value["value"]
        if op in ("in", "nin"):
            return self.scalars(op, operand, at)
        scalar = self.scalar(operand, at)
        if scalar is None:
            return None
        if unfit := operand_flaw(op, scalar):
            self.report(at, *unfit)
        return scalar

    def scalars(self, op: str, operand: object, pointer: str) -> tuple[Scalar, ...] | None:
        if not isinstance(operand, list):
            self.report(pointer, "wrong_type", f"'{op}' takes a list of values.")
            return None
        if not operand:
            self.report(pointer, *problems.too_short(1, "value"))
        if len(operand) > MAX_LIST:
            self.report(pointer, *problems.too_long(MAX_LIST, "values"))
        read = [self.scalar(item, child_pointer(pointer, index)) for index, item in enumerate(operand)]
        return tuple(scalar for scalar in read if scalar is not None)

    def scalar(self, value: object, pointer: str) -> Scalar | None:
        if isinstance(value, str):
            self.text(value, pointer, MAX_STRING_CHARS)
        elif not isinstance(value, int | float):
            self.report(pointer, "wrong_type", "Must be text, a number, true or false.")
            return None
        elif unfit := flaw(value):
            self.report(pointer, *unfit)
        return value

    def name(self, value: object, pointer: str) -> str:
        if not isinstance(value, str):
            self.report(pointer, "wrong_type", f"Give the name of a {self.leaf}, as text.")
            return ""
        if not value:
            self.report(pointer, *problems.too_short(1, "character"))
        self.text(value, pointer, MAX_NAME_CHARS)
        return value

    def text(self, value: str, pointer: str, max_chars: int) -> None:
        if len(value) > max_chars:
            self.report(pointer, *problems.too_long(max_chars, "characters"))
        if unfit := text_flaw(value):
            self.report(pointer, *unfit)

    def only_fields(self, value: dict[str, object], allowed: set[str], pointer: str) -> None:
        for key in value:
            if key not in allowed:
                message = f"This condition takes {_words(sorted(allowed))} and nothing else."
                self.report(child_pointer(pointer, key), "unknown_field", message)


_NOTHING: Final = Compare("", "exists")


def _words(words: Sequence[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


def _one_kind(kinds: Sequence[str], present: Sequence[str], value: Mapping[str, object]) -> str:
    if present:
        return f"A condition has exactly one of {_words(kinds)}; this one has {_words(present)}."
    if "trait" in value or "property" in value:
        return f"Conditions here look at a {kinds[-1]}; write '{kinds[-1]}'."
    return f"A condition has one of {_words(kinds)}."
