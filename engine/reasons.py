"""Why a rule holds, or does not: its verdict, and a smallest set of its leaves that alone makes it so."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from wire.problems import child_pointer
from wire.rule_tree import AllOf, AnyOf, Condition, Not, Rule

Holds = Callable[[str], bool]
"""Whether the leaf at a pointer holds. A reference to an audience is one leaf."""


class PointedLeaf(NamedTuple):
    """A leaf of a rule, and the JSON pointer of its place in the rule's JSON."""

    pointer: str
    condition: Condition


class _Reason(NamedTuple):
    holds: bool
    pointers: list[str]


def pointed_leaves(rule: Rule, pointer: str = "") -> Iterator[PointedLeaf]:
    """Every leaf, left to right; `pointer` is that of the rule itself."""
    match rule:
        case AllOf() | AnyOf() | Not():
            for part, at in _parts(rule, pointer):
                yield from pointed_leaves(part, at)
        case _:
            yield PointedLeaf(pointer, rule)


def verdict(rule: Rule, holds: Holds) -> bool:
    return _reason(rule, "", holds).holds


def deciding(rule: Rule, holds: Holds) -> list[str]:
    """Pointers of a smallest set of leaves that justifies the verdict, whatever the others say; left to right.

    Of several such sets the one furthest left. An empty `all` or `any` needs no leaf.
    """
    return _reason(rule, "", holds).pointers


def _reason(rule: Rule, pointer: str, holds: Holds) -> _Reason:
    match rule:
        case Not():
            ((negated, at),) = _parts(rule, pointer)
            inner = _reason(negated, at, holds)
            return _Reason(not inner.holds, inner.pointers)
        case AllOf() | AnyOf():
            return _combined(rule, pointer, holds)
        case _:
            return _Reason(holds(pointer), [pointer])


def _combined(rule: AllOf | AnyOf, pointer: str, holds: Holds) -> _Reason:
    """One part that fails decides an `all`, one that holds an `any`; else it takes all of them."""
    reasons = [_reason(part, at, holds) for part, at in _parts(rule, pointer)]
    alone = isinstance(rule, AnyOf)
    enough = [reason for reason in reasons if reason.holds is alone]
    if enough:
        return min(enough, key=lambda reason: len(reason.pointers))
    return _Reason(not alone, [named for reason in reasons for named in reason.pointers])


def _parts(rule: AllOf | AnyOf | Not, pointer: str) -> list[tuple[Rule, str]]:
    if isinstance(rule, Not):
        return [(rule.rule, child_pointer(pointer, "not"))]
    key = "all" if isinstance(rule, AllOf) else "any"
    return [(part, child_pointer(pointer, key, index)) for index, part in enumerate(rule.rules)]
