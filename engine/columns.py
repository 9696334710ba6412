"""What a date, a version or the moments of a ring say to all clauses that look at it: found once, then looked up.

What they say is a mask, see `engine.wiring`. The functions here and in `engine.values` make, in steps, the plain tuples
by which `engine.rules` looks it up.
"""

from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any, Final, NamedTuple

from engine.clauses import value_test
from engine.conditions import length_ms
from engine.steps import Steps
from wire.operands import ORDERS
from wire.rule_tree import MOVING_OPS

MASKS_A_STEP: Final = 8
"""Each is made of all clauses of a column."""


class Asked(NamedTuple):
    """A clause and what follows from it. `key`: what it asks, in a form in which nothing different is equal."""

    asks: Any
    key: Hashable
    if_false: int
    if_true: int


class Scale(NamedTuple):
    """Values that have an order: how one is read, None for what is none; the least that is more than another one."""

    read: Callable[[object], Any]
    after: Callable[[Any], Any]


Window = tuple[int, int, int, int, int]
"""(the moment of a ring that opens it, from 0; its length in ms; mask while it is shut, while it is open, both)."""

ReadLookup = tuple[str, Callable[[object], Any], int, Sequence[Any], Sequence[int], Sequence[Window]]
"""(trait; how it is read; what is said where that gives None; edges; what is said from each on; windows)."""

RingLookup = tuple[str, Sequence[int], Sequence[Window]]
"""(feature id; what so many moments say, the last: or more; windows, those that need fewer moments first)."""


def read_lookup(name: str, scale: Scale, asked: Sequence[Asked]) -> Steps[ReadLookup]:
    """Of clauses about moments, or about versions. Raises ValueError for what `parse_rule` would have refused."""
    moving = [each for each in asked if each.asks.op in MOVING_OPS]
    edges, said = yield from ranges([each for each in asked if each.asks.op not in MOVING_OPS], scale)
    windows = [_window(each, 0, length_ms(each.asks.value)) for each in moving]
    return name, scale.read, said_if(asked), edges, said, windows


def ring_lookup(feature_id: str, asked: Sequence[Asked]) -> Steps[RingLookup]:
    said: list[int] = []
    wanted = {0, *(each.asks.times for each in asked)}
    for moments in range(1 + max(wanted)):
        if moments in wanted:
            yield
        said.append(_counted(asked, moments) if moments in wanted else said[-1])
    windows = [
        _window(each, each.asks.times - 1, each.asks.within_ms) for each in asked if each.asks.within_ms is not None
    ]
    return feature_id, said, sorted(windows)


def _window(each: Asked, nth: int, length_ms: int) -> Window:
    return nth, length_ms + 1, each.if_false, each.if_true, each.if_false | each.if_true


def ranges(asked: Sequence[Asked], scale: Scale, constant: int = 0) -> Steps[tuple[Sequence[Any], Sequence[int]]]:
    """(edges: each operand and what comes right after it, in order; what is said before the first edge and from each
    on). `constant` is said everywhere."""
    yield
    for each in asked:
        value_test(each.asks.op, each.asks.value)
    read = scale.read
    marks = sorted({read(each.asks.value) for each in asked})
    places = {mark: 2 * place + 1 for place, mark in enumerate(marks)}
    tests = [(ORDERS[each.asks.op], places[read(each.asks.value)], each.if_false, each.if_true) for each in asked]
    said = []
    for place in range(2 * len(marks) + 1):
        if place % MASKS_A_STEP == 0:
            yield
        mask = constant
        for order, mark, if_false, if_true in tests:
            mask |= if_true if order(place, mark) else if_false
        said.append(mask)
    return [edge for mark in marks for edge in (mark, scale.after(mark))], said


def said_if(asked: Sequence[Asked], so: Collection[Hashable] = ()) -> int:
    """What is said where nothing is so but what has one of these keys."""
    mask = 0
    for each in asked:
        mask |= each.if_true if each.key in so else each.if_false
    return mask


def _counted(asked: Sequence[Asked], moments: int) -> int:
    """What so many moments say; a window that they are enough for depends on when they were."""
    mask = 0
    for each in asked:
        if moments < each.asks.times:
            mask |= each.if_false
        elif each.asks.within_ms is None:
            mask |= each.if_true
    return mask
