"""Why a rule holds, or does not: the leaves that alone make it so, and those that would turn it over."""

from collections.abc import Callable, Iterator
from itertools import chain
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
    """Whether a rule holds, and the leaves that are the answer to what is asked about it."""

    holds: bool
    pointers: list[str]


_Combine = Callable[[list[_Reason], bool], _Reason]
"""The reasons of an `any`'s parts, or an `all`'s, and what a part must be to decide alone → the reason of the whole."""


def pointed_leaves(rule: Rule, pointer: str = "") -> Iterator[PointedLeaf]:
    """Every leaf, left to right; `pointer` is that of the rule itself."""
    match rule:
        case AllOf() | AnyOf() | Not():
            for part, at in _parts(rule, pointer):
                yield from pointed_leaves(part, at)
        case _:
            yield PointedLeaf(pointer, rule)


def holds(rule: Rule, leaf_holds: Holds) -> bool:
    return _reason(rule, "", leaf_holds, _deciding).holds


def deciding(rule: Rule, leaf_holds: Holds) -> list[str]:
    """Pointers of a smallest set of leaves that makes the rule hold, or not, whatever the others say; left to right.

    Of several such sets the one furthest left. An empty `all` or `any` needs no leaf.
    """
    return _reason(rule, "", leaf_holds, _deciding).pointers


def must_change(rule: Rule, leaf_holds: Holds) -> list[str]:
    """Pointers of a smallest set of leaves that, each turned over, turn over the rule; left to right.

    Of several such sets the one furthest left. Empty where none does, as with an empty `any`.
    """
    return _reason(rule, "", leaf_holds, _turning).pointers


def _reason(rule: Rule, pointer: str, leaf_holds: Holds, combine: _Combine) -> _Reason:
    match rule:
        case Not():
            ((negated, at),) = _parts(rule, pointer)
            inner = _reason(negated, at, leaf_holds, combine)
            return _Reason(not inner.holds, inner.pointers)
        case AllOf() | AnyOf():
            parts = [_reason(part, at, leaf_holds, combine) for part, at in _parts(rule, pointer)]
            return combine(parts, isinstance(rule, AnyOf))
        case _:
            return _Reason(leaf_holds(pointer), [pointer])


def _deciding(parts: list[_Reason], alone: bool) -> _Reason:
    """One part that fails decides an `all`, one that holds an `any`; else it takes all of them."""
    enough = [part for part in parts if part.holds is alone]
    if enough:
        return min(enough, key=lambda part: len(part.pointers))
    return _Reason(not alone, [*chain.from_iterable(part.pointers for part in parts)])


def _turning(parts: list[_Reason], alone: bool) -> _Reason:
    """All the parts that alone decide must turn; where there is none, one that comes to decide is enough.

    No pointers: nothing turns it.
    """
    decisive = [part.pointers for part in parts if part.holds is alone]
    if decisive:
        return _Reason(alone, [*chain.from_iterable(decisive)] if all(decisive) else [])
    return _Reason(not alone, min((part.pointers for part in parts if part.pointers), key=len, default=[]))


def _parts(rule: AllOf | AnyOf | Not, pointer: str) -> list[tuple[Rule, str]]:
    if isinstance(rule, Not):
        return [(rule.rule, child_pointer(pointer, "not"))]
    key = "all" if isinstance(rule, AllOf) else "any"
    return [(part, child_pointer(pointer, key, index)) for index, part in enumerate(rule.rules)]
