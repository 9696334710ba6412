"""One comparison of the rule language → a Postgres condition over a jsonb object. It agrees with `engine.clauses`.

Nothing that is stored can raise, and no condition is ever NULL: each comparison is closed by `coalesce(…, false)`, so
that its negation is its opposite.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Double,
    Integer,
    Text,
    any_,
    exists,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from store.jsonb_value import Column, JsonbValue
from wire.literals import duration_ms, glob_literals, moment_ms, version_parts
from wire.operands import ORDERS
from wire.rule_tree import NEGATIONS, Compare, Scalar

Condition = ColumnElement[bool]
_Parsed = TypeVar("_Parsed")


def compare_condition(document: Column, compare: Compare, now_ms: int) -> Condition:
    """One comparison over a jsonb object (traits, or an event's properties): true or false, never NULL."""
    positive = NEGATIONS.get(compare.op)
    test = _test(document, compare.field, positive or compare.op, compare.value, now_ms)
    closed = func.coalesce(test, false(), type_=Boolean)
    return not_(closed) if positive else closed


def _test(document: Column, field: str, op: str, operand: Scalar | tuple[Scalar, ...] | None, now_ms: int) -> Condition:
    value = _value(document, field)
    match op, operand:
        case "exists", None:
            return value.kind != literal_column("'null'")
        case "in", tuple():
            return _one_of(value, operand)
        case "eq", (str() | int() | float()):
            return _equals(document, field, operand)
        case "contains", (str() | int() | float()):
            return _contains(value, operand)
        case _, (str() | int() | float()):
            return _ordering(op, value, operand) if op in ORDERS else _text_test(op, value, str(operand), now_ms)
    raise ValueError(f"{op!r} does not compare with {operand!r}")


def _value(document: Column, field: str) -> JsonbValue:
    return JsonbValue(document.op("->", return_type=JSONB())(literal(field, Text)))


def _equals(document: Column, field: str, operand: Scalar) -> Condition:
    if isinstance(operand, str | bool):
        return document.op("@>", return_type=Boolean())(literal({field: operand}, JSONB))
    return _one_of(_value(document, field), (operand,))


def _text_test(op: str, value: JsonbValue, operand: str, now_ms: int) -> Condition:
    match op:
        case "starts_with":
            return func.starts_with(value.text, literal(operand, Text), type_=Boolean)
        case "ends_with":
            return func.right(value.text, len(operand), type_=Text) == literal(operand, Text)
        case "glob":
            literals = readable(glob_literals(operand), operand)
            return value.text.like(literal("%".join(map(_like_literal, literals)), Text))
        case "within_last":
            since_ms = now_ms - readable(duration_ms(operand), operand)
            return value.moment_ms.between(literal(since_ms, BigInteger), literal(now_ms, BigInteger))
    raise ValueError(f"unknown op {op!r}")


def _like_literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _ordering(op: str, value: JsonbValue, operand: Scalar) -> Condition:
    order: Callable[[Any, Any], Condition] = ORDERS[op]
    if op in ("before", "after"):
        return order(value.moment_ms, literal(readable(moment_ms(str(operand)), operand), BigInteger))
    if op.startswith("version_"):
        parts = readable(version_parts(str(operand)), operand)
        return order(value.version, literal(list(parts), ARRAY(Integer)))
    if isinstance(operand, str):
        return order(value.text, literal(operand, Text))
    return value.beyond(op, float(operand))


def _one_of(value: JsonbValue, operands: Iterable[Scalar]) -> Condition:
    texts = [operand for operand in operands if isinstance(operand, str)]
    booleans = [operand for operand in operands if isinstance(operand, bool)]
    numbers = [float(operand) for operand in operands if not isinstance(operand, str | bool)]
    parts = [value.json == literal(boolean, JSONB) for boolean in booleans]
    if texts:
        parts.append(value.text == any_(literal(texts, ARRAY(Text))))
    if numbers:
        parts.append(value.number == any_(literal(numbers, ARRAY(Double))))
    return or_(false(), *parts)


def _contains(value: JsonbValue, operand: Scalar) -> Condition:
    if isinstance(operand, str):
        return or_(func.strpos(value.text, literal(operand, Text)) > 0, _has_element(value, operand))
    if isinstance(operand, bool):
        return _has_element(value, operand)
    elements = func.jsonb_array_elements(value.if_kind("array", value.json)).table_valued("value")
    element = JsonbValue(elements.c.value)
    return exists(select(elements).where(_one_of(element, (operand,))))


def _has_element(value: JsonbValue, operand: Scalar) -> Condition:
    return value.if_kind("array", value.json.op("@>", return_type=Boolean())(literal(operand, JSONB)))


def readable(parsed: _Parsed | None, operand: object) -> _Parsed:
    """Raises ValueError for an operand that `parse_rule` would have refused."""
    if parsed is None:
        raise ValueError(f"cannot read {operand!r}")
    return parsed
