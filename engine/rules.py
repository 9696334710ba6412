"""Audience rules → Python: which audiences hold for a customer now, and when that next changes.

With each result goes a moment before which it cannot change. These moments combine the way truth does: `all` that holds
can end with the first of its parts to change; `all` that fails cannot hold before each failing part has changed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from engine.clauses import Fields, compile_clause
from engine.patterns import text_test
from wire.literals import duration_ms, moment_ms
from wire.rule_tree import (
    MOVING_OPS,
    AllOf,
    AnyOf,
    Compare,
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
_Clause = Callable[[Fields, int], Held]
_Node = Callable[[Facts], Held]

_NEVER: Final = 2**63 - 1


class Membership:
    """Audiences compiled together, so that a clause which several of them share is computed once a customer."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._order = evaluation_order(rules)
        self._static = tuple(sorted({ref for rule in rules.values() for ref in audience_refs(rule)} - rules.keys()))
        clauses = {repr(leaf): leaf for rule in rules.values() for leaf in leaves(rule) if isinstance(leaf, Compare)}
        self._clauses = [_clause(compare) for compare in clauses.values()]
        places = {name: place for place, name in enumerate((*clauses, *self._static, *self._order))}
        self._nodes = [_node(rules[audience_id], places) for audience_id in self._order]

    def evaluate(self, traits: Fields, static: frozenset[str], now_ms: int) -> tuple[frozenset[str], int | None]:
        """Ids of the audiences that hold at `now_ms`, and the first later moment at which others do; None: never.

        `static` has the ids of the static audiences that list the customer; they are part of the answer.
        """
        held, change_ms = self._evaluate(traits, static, now_ms)
        later = held
        while change_ms < _NEVER:
            later, next_ms = self._evaluate(traits, static, change_ms)
            if later != held:
                return held, change_ms
            change_ms = next_ms
        return held, None

    def _evaluate(self, traits: Fields, static: frozenset[str], now_ms: int) -> tuple[frozenset[str], int]:
        facts = [clause(traits, now_ms) for clause in self._clauses]
        facts += [(audience_id in static, _NEVER) for audience_id in self._static]
        results = len(facts)
        for node in self._nodes:
            facts.append(node(facts))
        members = frozenset(name for name, (holds, _) in zip(self._order, facts[results:], strict=True) if holds)
        return members | static, min((change_ms for _, change_ms in facts[results:]), default=_NEVER)


def compile_rules(rules: Mapping[str, Rule]) -> Membership:
    """`rules` by audience id; an id without a rule is taken for a static audience. Raises ValueError on a cycle."""
    return Membership(rules)


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
        case Compare():
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


def _clause(compare: Compare) -> _Clause:
    if compare.op in MOVING_OPS:
        return _window(compare)
    test = compile_clause(compare)
    return lambda fields, _: (test(fields), _NEVER)


def _window(compare: Compare) -> _Clause:
    field, positive = compare.field, compare.op == "within_last"
    length_ms = duration_ms(cast(str, compare.value))
    if length_ms is None:
        raise ValueError(f"not a duration: {compare.value!r}")

    def window(fields: Fields, now_ms: int) -> Held:
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
