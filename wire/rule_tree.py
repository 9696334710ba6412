"""The audience rule language as a typed tree. What rules mean is written in docs/rules.md."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

ANY_EVENT: Final = "*"
"""In an event condition: any event of the customer's own, as `wire.events.is_own` says."""

MAX_EXPANDED_LEAVES: Final = 1_000
MAX_EXPANDED_DEPTH: Final = 50

Scalar = str | int | float | bool
Leaf = Literal["trait", "property"]
Op = Literal[
    "eq", "neq", "in", "nin", "gt", "gte", "lt", "lte",
    "contains", "not_contains", "starts_with", "ends_with", "glob",
    "exists", "not_exists", "before", "after", "within_last", "not_within_last",
    "version_eq", "version_gt", "version_gte", "version_lt", "version_lte",
]  # fmt: skip
PatternOp = Literal["eq", "contains", "starts_with", "ends_with", "glob"]
CountOp = Literal["gte", "gt", "lte", "lt", "eq", "neq"]

NEGATIONS: Final[Mapping[Op, Op]] = {
    "neq": "eq",
    "nin": "in",
    "not_contains": "contains",
    "not_exists": "exists",
    "not_within_last": "within_last",
}
"""Negative op → the op whose exact opposite it is."""

MOVING_OPS: Final = frozenset({"within_last", "not_within_last"})
"""Ops that change their answer as time goes by."""


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds when every rule holds; of nothing: always."""

    rules: tuple["Rule", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds when at least one rule holds; of nothing: never."""

    rules: tuple["Rule", ...]


@dataclass(frozen=True, slots=True)
class Not:
    rule: "Rule"


@dataclass(frozen=True, slots=True)
class Compare:
    """One trait (or event property) against a constant, as the author wrote it; None for exists and not_exists.

    Python says `1 == True == 1.0`, so equal instances may differ in meaning; tell clauses apart by `repr`.
    """

    field: str
    op: Op
    value: Scalar | tuple[Scalar, ...] | None = None


@dataclass(frozen=True, slots=True)
class EventCount:
    """How many events of a type, with properties as `where` says, compared with a number.

    `within`: the duration, as the author wrote it, that reaches back from now; None: ever. Tell apart by `repr`.
    """

    event: str
    where: tuple[Compare, ...] = ()
    op: CountOp = "gte"
    count: int = 1
    within: str | None = None


@dataclass(frozen=True, slots=True)
class InAudience:
    audience_id: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a URL or screen name must look like."""

    op: PatternOp
    value: str


Condition = Compare | EventCount | InAudience
"""A leaf of a rule."""

Rule = AllOf | AnyOf | Not | Condition


def to_json(rule: Rule, *, leaf: Leaf = "trait") -> dict[str, object]:
    """The JSON that `parse_rule` reads back as an equal rule."""
    match rule:
        case AllOf(rules) | AnyOf(rules):
            return {"all" if isinstance(rule, AllOf) else "any": [to_json(part, leaf=leaf) for part in rules]}
        case Not(negated):
            return {"not": to_json(negated, leaf=leaf)}
        case InAudience(audience_id):
            return {"audience": audience_id}
        case EventCount():
            return _event_json(rule)
        case Compare(field, op, None):
            return {leaf: field, "op": op}
        case Compare(field, op, value):
            return {leaf: field, "op": op, "value": list(value) if isinstance(value, tuple) else value}


def _event_json(rule: EventCount) -> dict[str, object]:
    where = [to_json(part, leaf="property") for part in rule.where]
    return {
        "event": rule.event,
        **({"where": where} if where else {}),
        "count": {"op": rule.op, "value": rule.count},
        **({} if rule.within is None else {"within": rule.within}),
    }


def audience_refs(rule: Rule) -> frozenset[str]:
    """Ids of the audiences that the rule itself names."""
    return frozenset(leaf.audience_id for leaf in leaves(rule) if isinstance(leaf, InAudience))


def leaves(rule: Rule) -> Iterator[Condition]:
    """Every condition of the rule, left to right."""
    match rule:
        case AllOf(rules) | AnyOf(rules):
            for part in rules:
                yield from leaves(part)
        case Not(negated):
            yield from leaves(negated)
        case _:
            yield rule


def find_cycle(rules: Mapping[str, Rule]) -> tuple[str, ...] | None:
    """Audience ids along a circle of references, the first repeated at the end; None when there is none."""
    finished: set[str] = set()
    for root in rules:
        path = dict.fromkeys([root])
        ahead = [_refs_within(rules, root)]
        while ahead:
            audience_id = next(ahead[-1], None)
            if audience_id is None:
                ahead.pop()
                finished.add(path.popitem()[0])
            elif audience_id in path:
                passed = tuple(path)
                return (*passed[passed.index(audience_id) :], audience_id)
            elif audience_id not in finished:
                path[audience_id] = None
                ahead.append(_refs_within(rules, audience_id))
    return None


def reachable(rule: Rule, rules: Mapping[str, Rule]) -> dict[str, Rule]:
    """The part of `rules` that `rule` refers to, directly or through others."""
    found: dict[str, Rule] = {}
    pending = [rule]
    while pending:
        new = (audience_refs(pending.pop()) & rules.keys()) - found.keys()
        found |= {audience_id: rules[audience_id] for audience_id in sorted(new)}
        pending.extend(rules[audience_id] for audience_id in new)
    return found


def evaluation_order(rules: Mapping[str, Rule]) -> tuple[str, ...]:
    """The ids of `rules`, each after those that it refers to. Raises ValueError on a cycle."""
    if cycle := find_cycle(rules):
        raise ValueError(f"audiences refer to each other in a circle: {' -> '.join(cycle)}")
    order: dict[str, None] = {}
    pending = list(rules)
    while pending:
        missing = [ref for ref in _refs_within(rules, pending[-1]) if ref not in order]
        if missing:
            pending.extend(missing)
        else:
            order.setdefault(pending.pop())
    return tuple(order)


class Size(NamedTuple):
    leaves: int
    depth: int


def find_oversized(rules: Mapping[str, Rule]) -> str | None:
    """An audience too large for one query once everything that it refers to is written out in its place, or None."""
    sizes: dict[str, Size] = {}
    for audience_id in evaluation_order(rules):
        size = _size(rules[audience_id], sizes)
        if size.leaves > MAX_EXPANDED_LEAVES or size.depth > MAX_EXPANDED_DEPTH:
            return audience_id
        sizes[audience_id] = size
    return None


def _size(rule: Rule, sizes: Mapping[str, Size]) -> Size:
    match rule:
        case AllOf(rules) | AnyOf(rules):
            parts = [_size(part, sizes) for part in rules]
            return Size(sum(part.leaves for part in parts), 1 + max((part.depth for part in parts), default=0))
        case Not(negated):
            inner = _size(negated, sizes)
            return Size(inner.leaves, inner.depth + 1)
        case InAudience(audience_id):
            return sizes.get(audience_id, Size(1, 0))
        case EventCount(where=where):
            return Size(1 + len(where), 0)
        case Compare():
            return Size(1, 0)


def _refs_within(rules: Mapping[str, Rule], audience_id: str) -> Iterator[str]:
    return iter(sorted(audience_refs(rules[audience_id]) & rules.keys()))
