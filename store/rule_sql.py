"""Audience rules → one Postgres condition over `customers`. It agrees with `engine.rules` on every customer.

Nothing that is stored in a trait can raise, and no condition is ever NULL: each comparison is closed by
`coalesce(…, false)`, so that its negation is its opposite.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Double,
    Integer,
    Text,
    and_,
    any_,
    exists,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from store.jsonb_value import Column, JsonbValue
from store.tables import audience_members, customers
from wire.literals import duration_ms, glob_literals, moment_ms, version_parts
from wire.operands import ORDERS
from wire.rule_tree import (
    NEGATIONS,
    AllOf,
    AnyOf,
    Compare,
    InAudience,
    Not,
    Rule,
    Scalar,
    evaluation_order,
    find_oversized,
    reachable,
)

Condition = ColumnElement[bool]
_Parsed = TypeVar("_Parsed")


def rule_condition(rule: Rule, *, org_id: UUID, rules: Mapping[str, Rule], now_ms: int) -> Condition:
    """Whether a row of `customers` is in the audience at `now_ms`; the caller restricts the rows to the org.

    `rules` are the org's audiences by id; an id without a rule is taken for a static audience. Raises ValueError when
    audiences refer to each other in a circle, or are too large when written out in one another's place.
    """
    needed = reachable(rule, rules)
    if find_oversized({**needed, "": rule}) is not None:
        raise ValueError("this rule and the audiences that it refers to are too large for one query")
    audiences: dict[str, Condition] = {}
    for audience_id in evaluation_order(needed):
        audiences[audience_id] = _condition(needed[audience_id], audiences, org_id, now_ms)
    return _condition(rule, audiences, org_id, now_ms)


def _condition(rule: Rule, audiences: Mapping[str, Condition], org_id: UUID, now_ms: int) -> Condition:
    match rule:
        case AllOf(rules):
            return and_(true(), *(_condition(part, audiences, org_id, now_ms) for part in rules))
        case AnyOf(rules):
            return or_(false(), *(_condition(part, audiences, org_id, now_ms) for part in rules))
        case Not(negated):
            return not_(_condition(negated, audiences, org_id, now_ms))
        case InAudience(audience_id) if audience_id in audiences:
            return audiences[audience_id]
        case InAudience(audience_id):
            return _is_listed(org_id, UUID(audience_id))
        case Compare():
            return compare_condition(customers.c.traits, rule, now_ms)


def _is_listed(org_id: UUID, audience_id: UUID) -> Condition:
    members = audience_members.c
    listed = select(members.subject).where(members.org_id == org_id, members.audience_id == audience_id)
    return customers.c.subject.in_(listed)


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
            literals = _readable(glob_literals(operand), operand)
            return value.text.like(literal("%".join(map(_like_literal, literals)), Text))
        case "within_last":
            since_ms = now_ms - _readable(duration_ms(operand), operand)
            return value.moment_ms.between(literal(since_ms, BigInteger), literal(now_ms, BigInteger))
    raise ValueError(f"unknown op {op!r}")


def _like_literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _ordering(op: str, value: JsonbValue, operand: Scalar) -> Condition:
    order: Callable[[Any, Any], Condition] = ORDERS[op]
    if op in ("before", "after"):
        return order(value.moment_ms, literal(_readable(moment_ms(str(operand)), operand), BigInteger))
    if op.startswith("version_"):
        parts = _readable(version_parts(str(operand)), operand)
        return order(value.version, literal(list(parts), ARRAY(Integer)))
    if isinstance(operand, str):
        return order(value.text, literal(operand, Text))
    return order(value.number, literal(float(operand), Double))


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


def _readable(parsed: _Parsed | None, operand: object) -> _Parsed:
    if parsed is None:
        raise ValueError(f"cannot read {operand!r}")
    return parsed
