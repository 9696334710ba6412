"""What a set of rules computes about a customer: a graph of values, in which what is asked for twice is there once.

A value that does not move with the clock is true or false. One that moves is a number, its turn: positive while it
holds, negative while it fails, and in size a moment before which that cannot change; NEVER for not at all. So the turn
of `all` is the least of its parts' turns, that of `any` the greatest, and `not` changes the sign.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

NEVER: Final = math.inf
"""Turns are floats: Python compares them faster than whole numbers of this size, and they are exact up to 2^53 ms."""


class Motion(Enum):
    """What is known of the way in which a value moves as time goes by."""

    STILL = auto()
    FALLS = auto()
    """At its turn it changes from holding to failing, and then never again; while it fails, its turn is never."""
    RISES = auto()
    """The opposite."""
    TURNS = auto()
    """It changes at its turn; how it goes on is not known."""
    LOOSE = auto()
    """It does not change before its turn, and perhaps not then."""


_MONOTONE: Final = frozenset({Motion.FALLS, Motion.RISES})
_OPPOSITE: Final[Mapping[Motion, Motion]] = {
    **{motion: motion for motion in Motion},
    Motion.FALLS: Motion.RISES,
    Motion.RISES: Motion.FALLS,
}


@dataclass(eq=False, slots=True)
class Value:
    """`code` is an expression; `after` are statements that correct it once it is in `{x}`.

    In both, `{0}`, `{1}`… are the inputs and then the constants. `letter` begins the value's name; one without a letter
    may stand right where it is used.
    """

    code: str
    inputs: tuple["Value", ...] = ()
    constants: tuple[object, ...] = ()
    after: tuple[str, ...] = ()
    letter: str = ""
    motion: Motion = Motion.STILL
    depth: int = field(init=False)
    uses: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.depth = 1 + max((value.depth for value in self.inputs), default=0)
        for value in self.inputs:
            value.uses += 1

    @property
    def moves(self) -> bool:
        return self.motion is not Motion.STILL


@dataclass(frozen=True, slots=True)
class _Way:
    """`all` or `any`.

    `decided` is the turn of the whole once a part decides it for ever, which parts of the motion `deciding` can do;
    `nearer` compares a part's turn with the one that it takes the place of.
    """

    word: str
    of_nothing: str
    guarded: str
    decided: str
    deciding: Motion
    nearer: str


_ALL: Final = _Way("and", "True", "{1} if {0} else no", "no", Motion.FALLS, "<")
_ANY: Final = _Way("or", "False", "yes if {0} else {1}", "yes", Motion.RISES, ">")


class Values:
    def __init__(self) -> None:
        self._known: dict[Hashable, Value] = {}

    def once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What was made under this key before, or what `make` makes now."""
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = make()
        return known

    def negation(self, value: Value) -> Value:
        return self.once(("not", id(value)), lambda: _negated(value))

    def all_of(self, parts: Sequence[Value]) -> Value:
        return self._joined(_ALL, parts)

    def any_of(self, parts: Sequence[Value]) -> Value:
        return self._joined(_ANY, parts)

    def _joined(self, way: _Way, parts: Sequence[Value]) -> Value:
        distinct = tuple(dict.fromkeys(parts))
        if len(distinct) == 1:
            return distinct[0]
        return self.once((way.word, *map(id, distinct)), lambda: self._join(way, distinct))

    def _join(self, way: _Way, parts: Sequence[Value]) -> Value:
        still = tuple(part for part in parts if not part.moves)
        moving = [part for part in parts if part.moves]
        if moving:
            return _moving(way, (self._joined(way, still),) if still else (), moving)
        places = [f"{{{place}}}" for place in range(len(still))]
        return Value(f" {way.word} ".join(places) or way.of_nothing, still)


def _negated(value: Value) -> Value:
    if value.moves:
        return Value("-{0}", (value,), letter="w", motion=_OPPOSITE[value.motion])
    return Value("not {0}", (value,))


def _moving(way: _Way, guard: tuple[Value, ...], moving: Sequence[Value]) -> Value:
    """Where parts of `all` fall and others rise, it rises with the last that rises, unless a part has fallen by then.

    In that case it never holds, and its turn is never. `any` is the mirror image.
    """
    deciding = [part for part in moving if part.motion is way.deciding]
    inputs = (*guard, *deciding, *(part for part in moving if part.motion is not way.deciding))
    motion = _motion([part.motion for part in moving])
    rest = range(len(guard) + 1, len(inputs))
    after = [f"if {{{place}}} {way.nearer} {{x}}: {{x}} = {{{place}}}" for place in rest]
    if motion is Motion.TURNS and len(moving) > 1:
        after.insert(len(deciding) - 1, "p = {x}")
        after.append(f"if {{x}} + p {way.nearer}= 0.0 and not ahead: {{x}} = {way.decided}")
    return Value(way.guarded if guard else "{0}", inputs, after=tuple(after), letter="w", motion=motion)


def _motion(parts: Sequence[Motion]) -> Motion:
    kinds = set(parts)
    if len(parts) == 1 or (len(kinds) == 1 and kinds <= _MONOTONE):
        return parts[0]
    return Motion.TURNS if kinds == _MONOTONE else Motion.LOOSE
