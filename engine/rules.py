"""Audience rules → Python: which audiences hold for a customer now, and when that next changes.

With each result goes a moment before which it cannot change. These moments combine the way truth does: `all` that holds
can end with the first of its parts to change; `all` that fails cannot hold before each failing part has changed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Final, cast

from engine.clauses import Fields, compile_clause
from engine.features import Rings
from engine.patterns import text_test
from wire.features import feature_id
from wire.literals import duration_ms, moment_ms
from wire.rule_tree import (
    MOVING_OPS,
    AllOf,
    AnyOf,
    Compare,
    EventCount,
    InAudience,
    Not,
    Pattern,
    Rule,
    audience_refs,
    evaluation_order,
    leaves,
)

Held = tuple[bool, int]
"""Whether something holds, and a moment before which that cannot change."""

Facts = Sequence[Held]
_Clause = Callable[[Fields, Rings, int], Held]
_Node = Callable[[Facts], Held]

_NEVER: Final = 2**63 - 1


class Membership:
    """Audiences compiled together, so that a clause which several of them share is computed once a customer.

    Which of them hold is a mask: bit n stands for the n-th of `ids`.
    """

    def __init__(self, rules: Mapping[str, Rule], static: Iterable[str] = ()) -> None:
        self._order = evaluation_order(rules)
        named = {ref for rule in rules.values() for ref in audience_refs(rule)}
        self._static = tuple(sorted({*static, *named} - rules.keys()))
        self.ids = (*self._static, *self._order)
        self._bits = {audience_id: 1 << place for place, audience_id in enumerate(self.ids)}
        clauses = {
            repr(leaf): leaf for rule in rules.values() for leaf in leaves(rule) if not isinstance(leaf, InAudience)
        }
        self._clauses = [_clause(leaf) for leaf in clauses.values()]
        places = {name: place for place, name in enumerate((*clauses, *self._static, *self._order))}
        self._nodes = [_node(rules[audience_id], places) for audience_id in self._order]

    def mask_of(self, audience_ids: Iterable[str]) -> int:
        """Raises KeyError for an audience that is not among `ids`."""
        return reduce(or_, (self._bits[audience_id] for audience_id in audience_ids), 0)

    def ids_of(self, mask: int) -> frozenset[str]:
        return frozenset(audience_id for audience_id, bit in self._bits.items() if mask & bit)

    def evaluate(self, traits: Fields, rings: Rings, static: frozenset[str], now_ms: int) -> tuple[int, int | None]:
        """The mask of the audiences that hold at `now_ms`, and the first later moment at which it differs; None: never.

        `static` has the ids of the static audiences that list the customer; those among `ids` are part of the answer.
        """
        held, change_ms = self._evaluate(traits, rings, static, now_ms)
        while change_ms < _NEVER:
            later, next_ms = self._evaluate(traits, rings, static, change_ms)
            if later != held:
                return held, change_ms
            change_ms = next_ms
        return held, None

    def _evaluate(self, traits: Fields, rings: Rings, static: frozenset[str], now_ms: int) -> tuple[int, int]:
        facts = [clause(traits, rings, now_ms) for clause in self._clauses]
        facts += [(audience_id in static, _NEVER) for audience_id in self._static]
        for node in self._nodes:
            facts.append(node(facts))
        results = facts[len(self._clauses) :]
        mask = sum(1 << place for place, (holds, _) in enumerate(results) if holds)
        return mask, min((change_ms for _, change_ms in results), default=_NEVER)


def compile_rules(rules: Mapping[str, Rule], static: Iterable[str] = ()) -> Membership:
    """`rules` by audience id; an id without a rule is taken for a static audience, as are those in `static`.

    Raises ValueError on a cycle.
    """
    return Membership(rules, static)


def compile_where(where: Sequence[Compare]) -> Callable[[Fields], bool]:
    """The test that an event's properties have to pass."""
    clauses = [compile_clause(compare) for compare in where]
    return lambda properties: all(clause(properties) for clause in clauses)


def compile_pattern(pattern: Pattern) -> Callable[[str], bool]:
    """The test that a URL or screen name has to pass."""
    return text_test(pattern.op, pattern.value)


def _node(rule: Rule, places: Mapping[str, int]) -> _Node:
    match rule:
        case AllOf(rules):
            return _all_of([_node(part, places) for part in rules])
        case AnyOf(rules):
            return _any_of([_node(part, places) for part in rules])
        case Not(negated):
            return _not(_node(negated, places))
        case InAudience(audience_id):
            return _fact(places[audience_id])
        case Compare() | EventCount():
            return _fact(places[repr(rule)])


def _fact(place: int) -> _Node:
    return lambda facts: facts[place]


def _not(node: _Node) -> _Node:
    def negated(facts: Facts) -> Held:
        holds, change_ms = node(facts)
        return not holds, change_ms

    return negated


def _all_of(nodes: Sequence[_Node]) -> _Node:
    def all_of(facts: Facts) -> Held:
        results = [node(facts) for node in nodes]
        failing = [change_ms for holds, change_ms in results if not holds]
        if failing:
            return False, max(failing)
        return True, min((change_ms for _, change_ms in results), default=_NEVER)

    return all_of


def _any_of(nodes: Sequence[_Node]) -> _Node:
    return _not(_all_of([_not(node) for node in nodes]))


def _clause(leaf: Compare | EventCount) -> _Clause:
    if isinstance(leaf, EventCount):
        return _count(leaf)
    if leaf.op in MOVING_OPS:
        return _window(leaf)
    test = compile_clause(leaf)
    return lambda fields, _rings, _now_ms: (test(fields), _NEVER)


def _count(leaf: EventCount) -> _Clause:
    """Every comparison of a count is made of "at least so many", which holds until the oldest of them gets too old."""
    id_ = feature_id(leaf.event, leaf.where)
    length_ms = None if leaf.within is None else _length_ms(leaf.within)

    def at_least(least: int) -> _Clause:
        def enough(_fields: Fields, rings: Rings, now_ms: int) -> Held:
            ring = rings.get(id_, ())
            if least == 0 or (length_ms is None and len(ring) >= least):
                return True, _NEVER
            if len(ring) < least or length_ms is None or ring[least - 1] + length_ms < now_ms:
                return False, _NEVER
            return True, ring[least - 1] + length_ms + 1

        return enough

    as_many, more = at_least(leaf.count), at_least(leaf.count + 1)
    exactly = _both(as_many, _negated(more))
    match leaf.op:
        case "gte":
            return as_many
        case "lt":
            return _negated(as_many)
        case "gt":
            return more
        case "lte":
            return _negated(more)
        case "eq":
            return exactly
        case "neq":
            return _negated(exactly)


def _negated(clause: _Clause) -> _Clause:
    def negated(fields: Fields, rings: Rings, now_ms: int) -> Held:
        holds, change_ms = clause(fields, rings, now_ms)
        return not holds, change_ms

    return negated


def _both(first: _Clause, second: _Clause) -> _Clause:
    node = _all_of([lambda facts: facts[0], lambda facts: facts[1]])
    return lambda fields, rings, now_ms: node([first(fields, rings, now_ms), second(fields, rings, now_ms)])


def _length_ms(duration: str) -> int:
    length_ms = duration_ms(duration)
    if length_ms is None:
        raise ValueError(f"not a duration: {duration!r}")
    return length_ms


def _window(compare: Compare) -> _Clause:
    field, positive = compare.field, compare.op == "within_last"
    length_ms = _length_ms(cast(str, compare.value))

    def window(fields: Fields, _rings: Rings, now_ms: int) -> Held:
        value = fields.get(field)
        at_ms = moment_ms(value) if isinstance(value, str) else None
        within, change_ms = _within(at_ms, now_ms, length_ms)
        return within is positive, change_ms

    return window


def _within(at_ms: int | None, now_ms: int, length_ms: int) -> Held:
    """Both ends count: a moment is within from itself on, and `length_ms` later for the last time."""
    if at_ms is None or at_ms + length_ms < now_ms:
        return False, _NEVER
    if at_ms > now_ms:
        return False, at_ms
    return True, at_ms + length_ms + 1
