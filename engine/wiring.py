"""Gates → what `engine.rules` evaluates by: lookups of masks.

A mask has two bits for each gate. The lower one, at the gate's number, shuts it: something that it needs is not so. The
upper one, `width` higher, offers it something; a gate without offers has that from the start. So what all traits and
rings say is joined by "or", and then a gate is open when its upper bit is there and its lower one is not.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from engine.columns import Asked, ReadLookup, RingLookup, Scale, read_lookup, ring_lookup
from engine.conditions import Happened, Listed, as_moment, as_version
from engine.gates import Clause, Gate, Gates
from engine.steps import Steps
from engine.values import ValueLookup, value_lookup
from wire.rule_tree import MOVING_OPS, Compare

GATES_A_STEP: Final = 4
CLAUSES_A_STEP: Final = 32

MOST_CLAUSES: Final = 64
"""A trait of which more is asked has several columns: what one value says is made of all clauses of a column."""

_WIDTH_GROWS_BY: Final = 64
"""So that one gate more or less moves no bit of another."""

_MOMENTS: Final = Scale(as_moment, lambda moment_ms: moment_ms + 1)
_VERSIONS: Final = Scale(as_version, lambda version: (*version, 0))

ColumnKey = tuple[str, str, int]
"""(what is looked at, of which name, the how manieth column of it)."""

Link = tuple[int, int, int]
"""(the bit of a gate that others ask for; mask while it is shut; mask while it is open)."""

Masks = Mapping[Hashable, list[int]]
"""Key of a clause → [mask where it is not so, mask where it is]."""


class Column(NamedTuple):
    asked: Sequence[Asked]
    lookup: Any


@dataclass(frozen=True, slots=True)
class Wiring:
    """`start`: the mask of nobody. `lists`: of static audiences. `links` of one list depend only on earlier lists."""

    width: int
    start: int
    columns: Mapping[ColumnKey, Column]
    lists: Sequence[tuple[str, int, int]]
    links: Sequence[Sequence[Link]]

    def values(self) -> list[ValueLookup]:
        return self._lookups("value")

    def reads(self) -> list[ReadLookup]:
        return [*self._lookups("moment"), *self._lookups("version")]

    def rings(self) -> list[RingLookup]:
        return self._lookups("ring")

    def _lookups(self, looked_at: str) -> list[Any]:
        return [column.lookup for key, column in self.columns.items() if key[0] == looked_at]


def wiring(gates: Gates, before: Wiring | None = None) -> Steps[Wiring]:
    """`before`: that of rules which are mostly the same; columns that have not changed are taken from it."""
    audiences = [*gates.audiences.values(), *gates.lists.values()]
    width = -(-(len(audiences) + len(gates.inner)) // _WIDTH_GROWS_BY) * _WIDTH_GROWS_BY
    numbers = {gate: number for number, gate in enumerate(audiences)}
    # From the end down, so that one of these more or less moves no bit of another.
    numbers |= {gate: width - 1 - place for place, gate in enumerate(gates.inner)}
    start, masks = yield from _masks(numbers, width)
    asked = yield from _asked(gates.clauses, masks)
    columns = yield from _columns(asked[Compare] + asked[Happened], {} if before is None else before.columns)
    lists = [(each.asks.audience_id, each.if_false, each.if_true) for each in asked[Listed]]
    return Wiring(width, start, columns, lists, _links(asked[Gate], numbers))


def _masks(numbers: Mapping[Gate, int], width: int) -> Steps[tuple[int, Masks]]:
    masks: defaultdict[Hashable, list[int]] = defaultdict(lambda: [0, 0])
    start = 0
    for place, (gate, number) in enumerate(numbers.items()):
        if place % GATES_A_STEP == 0:
            yield
        shut, offered = 1 << number, 1 << number + width
        for clause, so in gate.needs:
            masks[clause.key][not so] |= shut
        for clause, so in gate.offers or ():
            masks[clause.key][so] |= offered
        if gate.offers is None:
            start |= offered
    return start, masks


def _asked(clauses: Mapping[Hashable, Clause], masks: Masks) -> Steps[Mapping[type, list[Asked]]]:
    """By kind of clause."""
    asked: defaultdict[type, list[Asked]] = defaultdict(list)
    for place, (key, clause) in enumerate(clauses.items()):
        if place % CLAUSES_A_STEP == 0:
            yield
        asked[type(clause.asks)].append(Asked(clause.asks, key, *masks[key]))
    return asked


def _columns(asked: Iterable[Asked], before: Mapping[ColumnKey, Column]) -> Steps[dict[ColumnKey, Column]]:
    looked_at: defaultdict[tuple[str, str], list[Asked]] = defaultdict(list)
    for place, each in enumerate(asked):
        if place % CLAUSES_A_STEP == 0:
            yield
        looked_at[_looked_at(each.asks)].append(each)
    columns = {}
    for (kind, name), those in looked_at.items():
        for first in range(0, len(those), MOST_CLAUSES):
            key, part = (kind, name, first), those[first : first + MOST_CLAUSES]
            known = before.get(key)
            if known is None or known.asked != part:
                known = Column(part, (yield from _lookup(kind, name, part)))
            columns[key] = known
    return columns


def _looked_at(asks: Compare | Happened) -> tuple[str, str]:
    if isinstance(asks, Happened):
        return "ring", asks.feature_id
    if asks.op in MOVING_OPS or asks.op in ("before", "after"):
        return "moment", asks.field
    return "version" if asks.op.startswith("version_") else "value", asks.field


def _lookup(looked_at: str, name: str, asked: Sequence[Asked]) -> Steps[Any]:
    match looked_at:
        case "ring":
            return (yield from ring_lookup(name, asked))
        case "moment":
            return (yield from read_lookup(name, _MOMENTS, asked))
        case "version":
            return (yield from read_lookup(name, _VERSIONS, asked))
        case _:
            return (yield from value_lookup(name, asked))


def _links(asked: Iterable[Asked], numbers: Mapping[Gate, int]) -> list[list[Link]]:
    """`asked`: a gate comes after those that it asks for."""
    ranks: dict[Gate, int] = {}
    links: defaultdict[int, list[Link]] = defaultdict(list)
    for each in asked:
        rank = max((ranks[inner] + 1 for inner in each.asks.asked_gates()), default=0)
        ranks[each.asks] = rank
        links[rank].append((1 << numbers[each.asks], each.if_false, each.if_true))
    return [links[rank] for rank in range(len(links))]
