"""Audience rules → one Postgres condition over `customers`. It agrees with `engine.rules` on every customer.

No condition is ever NULL, so that its negation is its opposite.
"""

from collections.abc import Iterable, Mapping
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, and_, exists, false, func, literal, not_, or_, select, true

from engine.reasons import PointedLeaf, pointed_leaves
from store.compare_sql import Condition, compare_condition, readable
from store.tables import audience_members, customers, events
from wire.events import MESSAGE_PREFIX, UPDATED
from wire.features import Feature
from wire.literals import duration_ms
from wire.rule_tree import (
    ANY_EVENT,
    AllOf,
    AnyOf,
    Compare,
    EventCount,
    InAudience,
    Not,
    Rule,
    evaluation_order,
    find_oversized,
    reachable,
)
from wire.rule_tree import Condition as Leaf


def rule_condition(rule: Rule, *, org_id: UUID, rules: Mapping[str, Rule], now_ms: int) -> Condition:
    """Whether a row of `customers` is in the audience at `now_ms`; the caller restricts the rows to the org.

    `rules` are the org's audiences by id; an id without a rule is taken for a static audience. Raises ValueError when
    audiences refer to each other in a circle, or are too large when written out in one another's place.
    """
    return _condition(rule, _audience_conditions(rule, org_id, rules, now_ms), org_id, now_ms)


def leaf_conditions(
    rule: Rule, *, org_id: UUID, rules: Mapping[str, Rule], now_ms: int
) -> dict[PointedLeaf, Condition]:
    """As `rule_condition`, of each leaf of the rule alone, left to right. A reference to an audience is one leaf."""
    audiences = _audience_conditions(rule, org_id, rules, now_ms)
    return {leaf: _leaf_condition(leaf.condition, audiences, org_id, now_ms) for leaf in pointed_leaves(rule)}


def feature_condition(feature: Feature) -> Condition:
    """Whether a row of `events` is one that the feature counts; the caller restricts org, subject and time."""
    return _is_counted(feature.event, feature.where)


def _audience_conditions(rule: Rule, org_id: UUID, rules: Mapping[str, Rule], now_ms: int) -> dict[str, Condition]:
    """Of every audience that the rule refers to, directly or through others."""
    needed = reachable(rule, rules)
    if find_oversized({**needed, "": rule}) is not None:
        raise ValueError("this rule and the audiences that it refers to are too large for one query")
    audiences: dict[str, Condition] = {}
    for audience_id in evaluation_order(needed):
        audiences[audience_id] = _condition(needed[audience_id], audiences, org_id, now_ms)
    return audiences


def _condition(rule: Rule, audiences: Mapping[str, Condition], org_id: UUID, now_ms: int) -> Condition:
    match rule:
        case AllOf(rules):
            return and_(true(), *(_condition(part, audiences, org_id, now_ms) for part in rules))
        case AnyOf(rules):
            return or_(false(), *(_condition(part, audiences, org_id, now_ms) for part in rules))
        case Not(negated):
            return not_(_condition(negated, audiences, org_id, now_ms))
        case _:
            return _leaf_condition(rule, audiences, org_id, now_ms)


def _leaf_condition(leaf: Leaf, audiences: Mapping[str, Condition], org_id: UUID, now_ms: int) -> Condition:
    match leaf:
        case InAudience(audience_id) if audience_id in audiences:
            return audiences[audience_id]
        case InAudience(audience_id):
            return _is_listed(org_id, UUID(audience_id))
        case EventCount():
            return _count_condition(leaf, org_id, now_ms)
        case Compare():
            return compare_condition(customers.c.traits, leaf, now_ms)


def _is_listed(org_id: UUID, audience_id: UUID) -> Condition:
    members = audience_members.c
    listed = select(members.subject).where(members.org_id == org_id, members.audience_id == audience_id)
    return customers.c.subject.in_(listed)


def _count_condition(leaf: EventCount, org_id: UUID, now_ms: int) -> Condition:
    """Every comparison of a count is made of "at least so many", which need not count to the end."""
    as_many = _at_least(leaf.count, leaf, org_id, now_ms)
    more = _at_least(leaf.count + 1, leaf, org_id, now_ms)
    match leaf.op:
        case "gte":
            return as_many
        case "lt":
            return not_(as_many)
        case "gt":
            return more
        case "lte":
            return not_(more)
        case "eq":
            return and_(as_many, not_(more))
        case "neq":
            return not_(and_(as_many, not_(more)))


def _at_least(least: int, leaf: EventCount, org_id: UUID, now_ms: int) -> Condition:
    if least == 0:
        return true()
    happened = [events.c.org_id == org_id, _is_counted(leaf.event, leaf.where)]
    if leaf.within is not None:
        since_ms = now_ms - readable(duration_ms(leaf.within), leaf.within)
        happened.append(events.c.occurred_ms >= literal(since_ms, BigInteger))
    who = select(events.c.subject).where(*happened)
    if least > 1:
        who = who.group_by(events.c.subject).having(func.count() >= least)
    found = who.subquery("found")
    return exists(select(found).where(found.c.subject == customers.c.subject).correlate(customers))


def _is_counted(event: str, where: Iterable[Compare]) -> Condition:
    properties = (compare_condition(events.c.properties, compare, now_ms=0) for compare in where)
    return and_(_is_of_type(event), *properties)


def _is_of_type(event: str) -> Condition:
    """As `wire.events.is_own` says of ANY_EVENT."""
    type_ = events.c.type
    if event != ANY_EVENT:
        return type_ == event
    return and_(type_ != UPDATED, not_(func.starts_with(type_, MESSAGE_PREFIX, type_=Boolean)))
