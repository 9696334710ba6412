"""One comparison → a Python test of one value. Types are strict: a value of another type never matches."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Final, TypeVar

from engine.patterns import text_test
from wire.literals import Version, moment_ms, version_parts
from wire.operands import ORDERS
from wire.rule_tree import NEGATIONS, Compare, Scalar

Fields = Mapping[str, object]
ValueTest = Callable[[object], bool]

_Parsed = TypeVar("_Parsed")

_HOLD_TEXT: Final = frozenset({str, list, tuple})


def compile_clause(compare: Compare) -> Callable[[Fields], bool]:
    """The test of a trait or property mapping. Not for within_last and its negation, which need the time."""
    field = compare.field
    positive = NEGATIONS.get(compare.op)
    test = value_test(positive or compare.op, compare.value)
    if positive:
        return lambda fields: not test(fields.get(field))
    return lambda fields: test(fields.get(field))


def compile_where(where: Sequence[Compare]) -> Callable[[Fields], bool]:
    """The test that an event's properties have to pass."""
    clauses = [compile_clause(compare) for compare in where]
    return lambda properties: all(clause(properties) for clause in clauses)


def value_test(op: str, operand: Scalar | tuple[Scalar, ...] | None) -> ValueTest:
    """The test for a positive op. A missing value is None, which is no value at all."""
    match op, operand:
        case "exists", None:
            return lambda value: value is not None
        case "in", tuple():
            return _one_of(operand)
        case "eq", str() | int() | float():
            return _one_of((operand,))
        case "contains", str() | int() | float():
            return _contains(operand)
        case ("starts_with" | "ends_with" | "glob") as text_op, str():
            return _if_text(text_test(text_op, operand))
        case _, str() | int() | float() if op in ORDERS:
            return _ordering(op, operand)
    raise ValueError(f"{op!r} does not compare with {operand!r}")


def _ordering(op: str, operand: Scalar) -> ValueTest:
    if op in ("before", "after"):
        return _ordered(op, _moment, _moment(operand))
    if op.startswith("version_"):
        return _ordered(op, _version, _version(operand))
    if isinstance(operand, str):
        return _ordered(op, _text, operand)
    return _ordered(op, number, number(operand))


def number(value: object) -> float | None:
    """Numbers are doubles; what a double cannot hold is not a number. Neither are true and false."""
    if type(value) is float:
        return value if isfinite(value) else None
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return None
    return None


def _moment(value: object) -> int | None:
    return moment_ms(value) if type(value) is str else None


def _version(value: object) -> Version | None:
    return version_parts(value) if type(value) is str else None


def _text(value: object) -> str | None:
    return value if type(value) is str else None


def _ordered(op: str, parse: Callable[[object], _Parsed | None], operand: _Parsed | None) -> ValueTest:
    if operand is None:
        raise ValueError(f"{op!r} has an operand that it cannot read")
    order = ORDERS[op]

    def test(value: object) -> bool:
        parsed = parse(value)
        return parsed is not None and order(parsed, operand)

    return test


def _one_of(operands: Iterable[Scalar]) -> ValueTest:
    texts = frozenset(operand for operand in operands if isinstance(operand, str))
    booleans = frozenset(operand for operand in operands if isinstance(operand, bool))
    numbers = frozenset(number(operand) for operand in operands) - {None}

    def test(value: object) -> bool:
        if type(value) is str:
            return value in texts
        if type(value) is bool:
            return value in booleans
        return number(value) in numbers

    return test


def _contains(operand: Scalar) -> ValueTest:
    if isinstance(operand, str):
        return lambda value: type(value) in _HOLD_TEXT and operand in value  # type: ignore[operator]
    is_operand = _one_of((operand,))
    return lambda value: isinstance(value, list | tuple) and any(map(is_operand, value))


def _if_text(test: Callable[[str], bool]) -> ValueTest:
    return lambda value: type(value) is str and test(value)
