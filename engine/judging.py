"""The conditions of an audience's rule, seen one by one for one customer."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from engine.explain import masks
from engine.features import moments_needed
from engine.reasons import PointedLeaf, deciding, must_change, pointed_leaves
from engine.rules import compile_rules
from wire.features import feature_id
from wire.literals import duration_ms
from wire.rule_tree import Condition, EventCount, Rule, reachable
from wire.userstate import UserState


@dataclass(frozen=True, slots=True)
class Judged:
    """A condition of a rule, for one customer now.

    `pointer`: its place in the rule's JSON. `decides`: it is one of those that make the rule hold, or not.
    `must_change`: it is one of a smallest set that would turn the rule over. `changes_ms`: when `holds` next changes by
    itself.
    """

    pointer: str
    condition: Condition
    holds: bool
    decides: bool
    must_change: bool
    changes_ms: int | None


class Tally(NamedTuple):
    """Events of one kind: how many in the window, or at least so many; `newest_ms`: of all, None when there is none."""

    number: int
    or_more: bool
    newest_ms: int | None


def judge(
    audience_ids: Iterable[str], rules: Mapping[str, Rule], state: UserState, now_ms: int
) -> dict[str, list[Judged]]:
    """By audience, its conditions from left to right. Static audiences have none; `rules` is by audience id.

    Each condition is evaluated as if it were an audience.
    """
    asked = {audience_id: rules[audience_id] for audience_id in audience_ids if audience_id in rules}
    found = {audience_id: list(pointed_leaves(rule)) for audience_id, rule in asked.items()}
    conditions: dict[str, Rule] = {_name(id_, leaf): leaf.condition for id_, leaves in found.items() for leaf in leaves}
    referred: dict[str, Rule] = {}
    for rule in asked.values():
        referred |= reachable(rule, rules)
    membership = compile_rules(referred | conditions)
    steps = masks(membership, state, now_ms)
    _, mask = next(steps)
    changes_ms = _first_changes(mask, steps)
    bits = {name: membership.mask_of([name]) for name in conditions}

    def judged(audience_id: str) -> Iterator[Judged]:
        rule = asked[audience_id]
        places = {leaf.pointer: bits[_name(audience_id, leaf)] for leaf in found[audience_id]}
        holds = {pointer: bool(mask & bit) for pointer, bit in places.items()}
        decisive = frozenset(deciding(rule, holds.__getitem__))
        turned = frozenset(must_change(rule, holds.__getitem__))
        for at, condition in found[audience_id]:
            yield Judged(at, condition, holds[at], at in decisive, at in turned, changes_ms.get(places[at]))

    return {audience_id: list(judged(audience_id)) for audience_id in asked}


def tally(leaf: EventCount, state: UserState, now_ms: int) -> Tally:
    """As far as the customer's state tells: it keeps no more moments than rules need."""
    ring = state.rings.get(feature_id(leaf.event, leaf.where), ())
    length_ms = None if leaf.within is None else duration_ms(leaf.within)
    number = sum(length_ms is None or now_ms - length_ms <= at_ms for at_ms in ring)
    is_full = number == len(ring) and number >= max(moments_needed(leaf), 1)
    return Tally(number, is_full, ring[0] if ring else None)


def _name(audience_id: str, leaf: PointedLeaf) -> str:
    """Of a leaf among audiences; no audience's id has a space."""
    return f"{audience_id} {leaf.pointer}"


def _first_changes(mask: int, later: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Bit → the first moment at which it differs from the one before."""
    changes_ms: dict[int, int] = {}
    for at_ms, then in later:
        changed, mask = mask ^ then, then
        while changed:
            bit = changed & -changed
            changes_ms.setdefault(bit, at_ms)
            changed ^= bit
    return changes_ms
