"""Which audiences hold for a customer now, and when that next changes."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from operator import or_
from typing import Final

from engine.clauses import Fields
from engine.columns import Window
from engine.features import Rings
from engine.gates import Gates, gating
from engine.patterns import text_test
from engine.steps import Steps, finish
from engine.wiring import Wiring, wiring
from wire.rule_tree import Pattern, Rule

MOST_LOOKS: Final = 64
"""How often one evaluation looks ahead, on the loop that answers everybody."""

_LONG_AGO: Final = -(2**63)

Opening = tuple[int, int, Window]
"""(when a window opens; when it shuts; the window)."""


class Membership:
    """Audiences compiled together, so that a clause which several of them share is computed once a customer.

    Which of them hold is a mask: bit n stands for the n-th of `ids`. Made by `compiling`.
    """

    def __init__(self, rules: Mapping[str, Rule], static: frozenset[str], gates: Gates, wired: Wiring) -> None:
        self.rules = rules
        self.static = static
        self.gates = gates
        self.wiring = wired
        self.ids = (*gates.audiences, *gates.lists)
        self._places = {audience_id: place for place, audience_id in enumerate(self.ids)}
        self._values, self._reads, self._rings = wired.values(), wired.reads(), wired.rings()
        self._start, self._width, self._lists, self._links = wired.start, wired.width, wired.lists, wired.links
        self._audiences = (1 << len(self.ids)) - 1
        self._shuts = (1 << wired.width) - 1

    def mask_of(self, audience_ids: Iterable[str]) -> int:
        """Raises KeyError for an audience that is not among `ids`."""
        return reduce(or_, (1 << self._places[audience_id] for audience_id in audience_ids), 0)

    def ids_of(self, mask: int) -> frozenset[str]:
        return frozenset(audience_id for place, audience_id in enumerate(self.ids) if mask >> place & 1)

    def evaluate(self, traits: Fields, rings: Rings, static: frozenset[str], now_ms: int) -> tuple[int, int | None]:
        """The mask of the audiences that hold at `now_ms`, and the first later moment at which it differs; None: never.

        Where more than MOST_LOOKS moments before might change it, and do not, it is one until which nothing changes:
        a few rules over one date can have thousands.

        `static` has the ids of the static audiences that list the customer; those among `ids` are part of the answer.
        """
        openings: list[Opening] = []
        mask = self._said_by_values(traits) | self._said_by_lists(static)
        mask |= self._said_by_reads(traits, now_ms, openings) | self._said_by_rings(rings, now_ms, openings)
        openings = self._that_matter(mask, openings)
        held = self._held(mask, openings, now_ms)
        moments = sorted({at_ms for opening in openings for at_ms in opening[:2] if at_ms > now_ms})
        for at_ms in moments[:MOST_LOOKS]:
            if self._held(mask, openings, at_ms) != held:
                return held, at_ms
        return held, moments[MOST_LOOKS] if len(moments) > MOST_LOOKS else None

    def _said_by_values(self, traits: Fields) -> int:
        mask, get = self._start, traits.get
        for name, known, other, said_by in self._values:
            value = get(name)
            if value is None or type(value) is str:
                said = known.get(value, other)
                mask |= said_by(value) if said is None else said
            else:
                mask |= said_by(value)
        return mask

    def _said_by_lists(self, static: frozenset[str]) -> int:
        mask = 0
        for audience_id, if_false, if_true in self._lists:
            mask |= if_true if audience_id in static else if_false
        return mask

    def _said_by_reads(self, traits: Fields, now_ms: int, openings: list[Opening]) -> int:
        """What dates and versions say. A window that is open, or will be, says nothing yet and joins the openings."""
        mask, get = 0, traits.get
        for name, read, unread, edges, ranges, windows in self._reads:
            at = read(get(name))
            if at is None:
                mask |= unread
                continue
            mask |= ranges[bisect_right(edges, at)]
            for window in windows:
                shuts_ms = at + window[1]
                if shuts_ms > now_ms:
                    openings.append((at, shuts_ms, window))
                else:
                    mask |= window[2]
        return mask

    def _said_by_rings(self, rings: Rings, now_ms: int, openings: list[Opening]) -> int:
        mask, get = 0, rings.get
        for feature_id, counts, windows in self._rings:
            ring = get(feature_id)
            if not ring:
                mask |= counts[0]
                continue
            count = len(ring)
            mask |= counts[count] if count < len(counts) else counts[-1]
            for window in windows:
                nth, length_ms, if_shut, _, _ = window
                if nth >= count:
                    break
                shuts_ms = ring[nth] + length_ms
                if shuts_ms > now_ms:
                    openings.append((_LONG_AGO, shuts_ms, window))
                else:
                    mask |= if_shut
        return mask

    def _that_matter(self, mask: int, openings: Iterable[Opening]) -> list[Opening]:
        """Without the windows whose gates are shut anyhow, or offered what they offer."""
        decided = mask | (mask & self._shuts) << self._width
        return [opening for opening in openings if decided | opening[2][4] != decided]

    def _held(self, mask: int, openings: Iterable[Opening], at_ms: int) -> int:
        for opens_ms, shuts_ms, (_, _, if_shut, if_open, _) in openings:
            mask |= if_open if opens_ms <= at_ms < shuts_ms else if_shut
        opened = self._opened(mask)
        for links in self._links:
            for bit, if_shut, if_open in links:
                mask |= if_open if opened & bit else if_shut
            opened = self._opened(mask)
        return opened & self._audiences

    def _opened(self, mask: int) -> int:
        offered = mask >> self._width
        return offered ^ offered & mask


def compile_rules(rules: Mapping[str, Rule], static: Iterable[str] = ()) -> Membership:
    """`rules` by audience id; an id without a rule is taken for a static audience, as are those in `static`.

    Raises ValueError on a cycle.
    """
    return finish(compiling(rules, static))


def compiling(
    rules: Mapping[str, Rule], static: Iterable[str] = (), before: Membership | None = None
) -> Steps[Membership]:
    """`compile_rules` in steps. `before`: what was compiled last; it is the answer when nothing has changed."""
    lists = frozenset(static)
    if before is not None and lists == before.static and (yield from _same(rules, before.rules)):
        return before
    gates = yield from gating(rules, lists, before.gates if before else None)
    wired = yield from wiring(gates, before.wiring if before else None)
    return Membership(dict(rules), lists, gates, wired)


def _same(rules: Mapping[str, Rule], before: Mapping[str, Rule]) -> Steps[bool]:
    """Rules that Python calls equal may differ: 1 is not true."""
    if rules.keys() != before.keys():
        return False
    for audience_id, rule in rules.items():
        if rule is not before[audience_id]:
            yield
            if repr(rule) != repr(before[audience_id]):
                return False
    return True


def compile_pattern(pattern: Pattern) -> Callable[[str], bool]:
    """The test that a URL or screen name has to pass."""
    return text_test(pattern.op, pattern.value)
