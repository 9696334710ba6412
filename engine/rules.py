"""Audience rules → Python: which audiences hold for a customer now, and when that next changes."""

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from operator import or_
from typing import Final

from engine.clauses import Fields
from engine.features import Rings
from engine.generate import generate
from engine.patterns import text_test
from engine.steps import Steps
from engine.values import NEVER
from wire.rule_tree import Pattern, Rule, audience_refs, evaluation_order

MOST_LOOKS: Final = 64
"""How often one evaluation looks ahead, on the loop that answers everybody."""


class Membership:
    """Audiences compiled together, so that a clause which several of them share is computed once a customer.

    Which of them hold is a mask: bit n stands for the n-th of `ids`.
    """

    def __init__(self, rules: Mapping[str, Rule], static: Iterable[str] = ()) -> None:
        named = {ref for rule in rules.values() for ref in audience_refs(rule)}
        lists = tuple(sorted({*static, *named} - rules.keys()))
        order = evaluation_order(rules)
        self.ids = (*lists, *order)
        self._bits = {audience_id: 1 << place for place, audience_id in enumerate(self.ids)}
        self._program = generate(lists, {audience_id: rules[audience_id] for audience_id in order})

    @property
    def source(self) -> str:
        """What the rules became, for reading."""
        return "\n".join(self._program.sources)

    def mask_of(self, audience_ids: Iterable[str]) -> int:
        """Raises KeyError for an audience that is not among `ids`."""
        return reduce(or_, (self._bits[audience_id] for audience_id in audience_ids), 0)

    def ids_of(self, mask: int) -> frozenset[str]:
        return frozenset(audience_id for audience_id, bit in self._bits.items() if mask & bit)

    def evaluate(self, traits: Fields, rings: Rings, static: frozenset[str], now_ms: int) -> tuple[int, int | None]:
        """The mask of the audiences that hold at `now_ms`, and the first later moment at which it differs; None: never.

        Where more than MOST_LOOKS moments before it might change it, and do not, it is one until which nothing changes:
        a few rules over one date can have thousands.

        `static` has the ids of the static audiences that list the customer; those among `ids` are part of the answer.
        """
        held, sure_ms, maybe_ms = self._evaluate(traits, rings, static, float(now_ms))
        for _ in range(MOST_LOOKS):
            if maybe_ms >= sure_ms:
                break
            at_ms = maybe_ms
            later, sure_ms, maybe_ms = self._evaluate(traits, rings, static, at_ms)
            if later != held:
                return held, int(at_ms)
        change_ms = min(sure_ms, maybe_ms)
        return held, None if change_ms == NEVER else int(change_ms)

    def _evaluate(
        self, traits: Fields, rings: Rings, static: frozenset[str], now_ms: float
    ) -> tuple[int, float, float]:
        """The mask, a moment at which it changes unless it does so earlier, and one before which it does not."""
        get, ring, shared = traits.get, rings.get, [None] * self._program.shared
        mask, sure_ms, maybe_ms, ahead = 0, NEVER, NEVER, False
        for part, place in self._program.parts:
            held, sure, maybe, ahead = part(get, ring, static, now_ms, shared, ahead)
            mask |= held << place
            sure_ms, maybe_ms = min(sure_ms, sure), min(maybe_ms, maybe)
        return (mask, NEVER, min(sure_ms, maybe_ms)) if ahead else (mask, sure_ms, maybe_ms)


def compile_rules(rules: Mapping[str, Rule], static: Iterable[str] = ()) -> Membership:
    """`rules` by audience id; an id without a rule is taken for a static audience, as are those in `static`.

    Raises ValueError on a cycle.
    """
    return Membership(rules, static)


def compiling(
    rules: Mapping[str, Rule], static: Iterable[str] = (), before: Membership | None = None
) -> Steps[Membership]:
    """`compile_rules` in steps. `before`: what was compiled last, from which all is taken that has not changed."""
    yield
    return compile_rules(rules, static)


def compile_pattern(pattern: Pattern) -> Callable[[str], bool]:
    """The test that a URL or screen name has to pass."""
    return text_test(pattern.op, pattern.value)
