"""The leaves of rules as values: the common comparisons as expressions, the rest as calls of their `value_test`.

An expression means what that test means, and takes less time.
"""

import math
from functools import lru_cache
from typing import Final, cast

from engine.clauses import number, value_test
from engine.values import Motion, Value, Values
from wire.features import feature_id
from wire.literals import Version, duration_ms, moment_ms, version_parts
from wire.rule_tree import MOVING_OPS, NEGATIONS, AllOf, Compare, EventCount, Not, Rule, Scalar

_LONGEST_VERSION: Final = 40
_SYMBOLS: Final = {"eq": "==", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "before": "<", "after": ">"}
_VIEWS: Final = {
    "n": "nan if {0} is None else as_number({0})",
    "d": "nan if {0} is None else as_moment({0})",
    "v": "None if {0} is None else as_version({0})",
}
_ON_TEXT: Final = {
    "eq": "{0} == {1}",
    "in": "type({0}) is str and {0} in {1}",
    "contains": "isinstance({0}, texts) and {1} in {0}",
    "starts_with": "type({0}) is str and {0}.startswith({1})",
    "ends_with": "type({0}) is str and {0}.endswith({1})",
    **{op: f"type({{0}}) is str and {{0}} {_SYMBOLS[op]} {{1}}" for op in ("gt", "gte", "lt", "lte")},
}


def compare_value(values: Values, compare: Compare) -> Value:
    """Raises ValueError for an operand that `parse_rule` would have refused."""
    if positive := NEGATIONS.get(compare.op):
        return values.negation(compare_value(values, Compare(compare.field, positive, compare.value)))
    return values.once(repr(compare), lambda: _compared(values, compare))


def count_value(values: Values, leaf: EventCount) -> Value:
    """Of a leaf that `at_least` leaves as it is. Raises ValueError as `compare_value` does."""
    id_ = feature_id(leaf.event, leaf.where)
    within_ms = None if leaf.within is None else _length_ms(leaf.within)
    ring = values.once(("r", id_), lambda: Value("ring({0}, ())", constants=(id_,), letter="r"))
    return values.once(("count", id_, leaf.count, within_ms), lambda: _count(ring, leaf.count - 1, within_ms))


def at_least(leaf: EventCount) -> Rule:
    """The same condition, made of nothing but "at least so many, and that is more than none"."""
    as_many = EventCount(leaf.event, leaf.where, "gte", leaf.count, leaf.within) if leaf.count else AllOf(())
    more = EventCount(leaf.event, leaf.where, "gte", leaf.count + 1, leaf.within)
    match leaf.op:
        case "gte":
            return as_many
        case "lt":
            return Not(as_many)
        case "gt":
            return more
        case "lte":
            return Not(more)
        case "eq":
            return AllOf((as_many, Not(more)))
        case "neq":
            return Not(AllOf((as_many, Not(more))))


def as_number(value: object) -> float:
    """NaN, which is neither more nor less than anything, for what is no number."""
    found = number(value)
    return math.nan if found is None else found


def as_moment(value: object) -> float:
    found = moment_ms(value) if type(value) is str else None
    return math.nan if found is None else float(found)


def as_version(value: object) -> Version | None:
    return _version(value) if type(value) is str and len(value) <= _LONGEST_VERSION else None


@lru_cache(maxsize=1_024)
def _version(text: str) -> Version | None:
    """There are many customers and few versions."""
    return version_parts(text)


BOUND: Final = {
    "as_number": as_number, "as_moment": as_moment, "as_version": as_version, "nan": math.nan,
    "type": type, "len": len, "isinstance": isinstance, "str": str, "texts": (str, list, tuple),
}  # fmt: skip
"""What the code of these values names, besides inputs and constants."""


def _count(ring: Value, last: int, within_ms: int | None) -> Value:
    if within_ms is None:
        return Value("len({0}) > {1}", (ring,), (last,))
    code = "{0}[{1}] + {2} if len({0}) > {1} else no"
    over = "if {x} <= now: {x} = no"
    return Value(code, (ring,), (last, within_ms + 1.0), (over,), letter="w", motion=Motion.FALLS)


def _compared(values: Values, compare: Compare) -> Value:
    if compare.op in MOVING_OPS:
        return _recent(values, compare)
    test = value_test(compare.op, compare.value)
    return _in_place(values, compare) or Value("{1}({0})", (_field(values, compare.field),), (test,))


def _in_place(values: Values, compare: Compare) -> Value | None:
    field, op, operand = compare.field, compare.op, compare.value
    if op in ("before", "after"):
        at_ms = as_moment(operand)
        return Value(f"{{0}} {_SYMBOLS[op]} {{1}}", (_view(values, "d", field),), (at_ms,))
    if op.startswith("version_"):
        symbol = _SYMBOLS[op.removeprefix("version_")]
        return Value(
            f"{{0}} is not None and {{0}} {symbol} {{1}}", (_view(values, "v", field),), (as_version(operand),)
        )
    if op in _SYMBOLS and number(operand) is not None:
        return Value(f"{{0}} {_SYMBOLS[op]} {{1}}", (_view(values, "n", field),), (number(operand),))
    code = _on_value(op, operand)
    constant = frozenset(operand) if isinstance(operand, tuple) else operand
    return Value(code, (_field(values, field),), (constant,)) if code else None


def _on_value(op: str, operand: Scalar | tuple[Scalar, ...] | None) -> str | None:
    if op == "exists":
        return "{0} is not None"
    if op == "eq" and isinstance(operand, bool):
        return "{0} is {1}"
    operands = operand if isinstance(operand, tuple) else (operand,)
    return _ON_TEXT.get(op) if all(isinstance(each, str) for each in operands) else None


def _recent(values: Values, compare: Compare) -> Value:
    """A date in the future is not within yet, but will be: then nothing may rely on its only falling."""
    date, length_ms = _view(values, "d", compare.field), _length_ms(cast(str, compare.value))
    after = ("if not {x} > now: {x} = no", "elif {0} > now: {x} = -{0}; ahead = True")
    return Value("{0} + {1}", (date,), (length_ms + 1.0,), after, letter="w", motion=Motion.FALLS)


def _field(values: Values, name: str) -> Value:
    return values.once(("t", name), lambda: Value("get({0})", constants=(name,), letter="t"))


def _view(values: Values, letter: str, name: str) -> Value:
    """The trait as a number, a date or a version."""
    return values.once((letter, name), lambda: Value(_VIEWS[letter], (_field(values, name),), letter=letter))


def _length_ms(duration: str) -> int:
    length_ms = duration_ms(duration)
    if length_ms is None:
        raise ValueError(f"not a duration: {duration!r}")
    return length_ms
