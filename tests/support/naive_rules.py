"""Audience rules as docs/rules.md says them, without any cleverness: to compare compilers with.

It walks the rule and counts in the whole history: no masks, no rings, no next change.
"""

from collections.abc import Mapping
from operator import eq, ge, gt, le, lt, ne

from engine.clauses import compile_clause
from tests.support.rule_cases import Happening, Somebody
from wire.events import is_own
from wire.literals import duration_ms, moment_ms
from wire.rule_tree import ANY_EVENT, MOVING_OPS, AllOf, AnyOf, Compare, EventCount, InAudience, Not, Rule

_COUNT_OPS = {"gte": ge, "gt": gt, "lte": le, "lt": lt, "eq": eq, "neq": ne}


def members(rules: Mapping[str, Rule], somebody: Somebody, static: frozenset[str], now_ms: int) -> frozenset[str]:
    """The ids of `rules` that hold, with those in `static`."""

    def holds(rule: Rule) -> bool:
        match rule:
            case AllOf(parts):
                return all(holds(part) for part in parts)
            case AnyOf(parts):
                return any(holds(part) for part in parts)
            case Not(part):
                return not holds(part)
            case InAudience(audience_id):
                return holds(rules[audience_id]) if audience_id in rules else audience_id in static
            case EventCount():
                return _counted(rule, somebody.history, now_ms)
            case Compare():
                return _compared(rule, somebody.traits, now_ms)

    return static | {audience_id for audience_id, rule in rules.items() if holds(rule)}


def _counted(leaf: EventCount, history: tuple[Happening, ...], now_ms: int) -> bool:
    since_ms = float("-inf") if leaf.within is None else now_ms - _length_ms(leaf.within)
    count = sum(happening.occurred_ms >= since_ms and _belongs(happening, leaf) for happening in history)
    return bool(_COUNT_OPS[leaf.op](count, leaf.count))


def _belongs(happening: Happening, leaf: EventCount) -> bool:
    if happening.type != leaf.event and not (leaf.event == ANY_EVENT and is_own(happening.type)):
        return False
    return all(compile_clause(compare)(happening.properties) for compare in leaf.where)


def _compared(leaf: Compare, traits: Mapping[str, object], now_ms: int) -> bool:
    if leaf.op not in MOVING_OPS:
        return compile_clause(leaf)(traits)
    value = traits.get(leaf.field)
    at_ms = moment_ms(value) if isinstance(value, str) else None
    within = at_ms is not None and at_ms <= now_ms <= at_ms + _length_ms(leaf.value)
    return within is (leaf.op == "within_last")


def _length_ms(duration: object) -> int:
    length_ms = duration_ms(duration) if isinstance(duration, str) else None
    assert length_ms is not None
    return length_ms
