"""Rules → gates: a flat form in which all audiences are decided at once, by a few operations on bits.

A gate is open when all that it `needs` is so and, where it has `offers`, one of these is so. Each audience is a gate.
What does not fit into one gate stands in a gate of its own, which the first one asks for.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

from engine.conditions import Happened, Listed, at_least, happened
from engine.steps import Steps
from wire.rule_tree import (
    NEGATIONS,
    AllOf,
    AnyOf,
    Compare,
    EventCount,
    InAudience,
    Not,
    Rule,
    find_cycle,
    leaves,
)

LEAVES_A_STEP: Final = 8

MOST_REPEATED: Final = 16
"""An audience of at most so many clauses is repeated in those that refer to it, where it fits: that costs nothing."""


@dataclass(eq=False, slots=True)
class Clause:
    """What is so or is not, of one customer at one moment. `key`: the same for the same in other sets of rules."""

    asks: "Compare | Happened | Listed | Gate"
    key: Hashable


Literal = tuple[Clause, bool]
"""A clause, and whether it has to be so or not to be so."""


@dataclass(eq=False, slots=True)
class Gate:
    """`offers`: None where there are none; of an empty choice nothing is ever so."""

    needs: tuple[Literal, ...] = ()
    offers: tuple[Literal, ...] | None = None

    @property
    def content(self) -> Hashable:
        return self.needs, self.offers

    def clauses(self) -> list[Clause]:
        return [clause for clause, _ in (*self.needs, *(self.offers or ()))]

    def asked_gates(self) -> list["Gate"]:
        return [clause.asks for clause in self.clauses() if isinstance(clause.asks, Gate)]


class Gates:
    """Made by `gating`. By id: `audiences` that have rules, static `lists`; `inner`: what other gates ask for besides.

    `clauses`: by key, each after those that it is about.
    """

    def __init__(self) -> None:
        self.audiences: dict[str, Gate] = {}
        self.lists: dict[str, Gate] = {}
        self.inner: list[Gate] = []
        self.clauses: dict[Hashable, Clause] = {}
        self._placed: dict[Hashable, Gate] = {}
        self._read: dict[int, tuple[Compare | EventCount, Gate]] = {}

    def add_list(self, audience_id: str) -> None:
        self.lists[audience_id] = self._place(self._asking(Listed(audience_id), Listed(audience_id)))

    def add_rule(self, audience_id: str, rule: Rule) -> None:
        """What it refers to is there already, and its leaves are read."""
        self.audiences[audience_id] = self._place(self._gate(rule))

    def read(self, leaf: Compare | EventCount, before: "Gates | None") -> None:
        """`before`: where the same leaf may have been read. Raises ValueError for what `parse_rule` would refuse."""
        known = before and before._read.get(id(leaf))
        if known:
            for clause in known[1].clauses():
                self.clauses.setdefault(clause.key, clause)
        self._read[id(leaf)] = known or (leaf, self._leaf(leaf))

    def _place(self, gate: Gate) -> Gate:
        """One of its own for each audience, though another may be the same."""
        own = Gate(gate.needs, gate.offers)
        self._placed.setdefault(own.content, own)
        return own

    def _gate(self, rule: Rule) -> Gate:
        match rule:
            case AllOf(rules):
                return self._all(map(self._gate, rules))
            case AnyOf(rules):
                return self._any(map(self._gate, rules))
            case Not(negated):
                return self._not(self._gate(negated))
            case InAudience(audience_id):
                return self._repeated(self.audiences.get(audience_id) or self.lists[audience_id])
            case _:
                known = self._read.get(id(rule))
                return self._leaf(rule) if known is None else known[1]

    def _leaf(self, leaf: Compare | EventCount) -> Gate:
        if isinstance(leaf, EventCount):
            asks = happened(leaf)
            return self._gate(at_least(leaf)) if asks is None else self._asking(asks, asks)
        if positive := NEGATIONS.get(leaf.op):
            return self._not(self._leaf(Compare(leaf.field, positive, leaf.value)))
        return self._asking(leaf, repr(leaf))

    def _asking(self, asks: Compare | Happened | Listed | Gate, key: Hashable) -> Gate:
        clause = self.clauses.get(key)
        if clause is None:
            clause = self.clauses[key] = Clause(asks, key)
        return Gate(((clause, True),))

    def _all(self, parts: Iterable[Gate]) -> Gate:
        needs: dict[Literal, None] = {}
        offers = None
        for part in parts:
            if offers is None or part.offers in (None, offers):
                needs.update(dict.fromkeys(part.needs))
                offers = part.offers if offers is None else offers
            else:
                needs[self._literal(part)] = None
        return Gate(tuple(needs), offers)

    def _any(self, parts: Iterable[Gate]) -> Gate:
        offers: dict[Literal, None] = {}
        for part in parts:
            if part.offers is not None and not part.needs:
                offers.update(dict.fromkeys(part.offers))
            else:
                offers[self._literal(part)] = None
        return Gate(tuple(offers)) if len(offers) == 1 else Gate((), tuple(offers))

    def _not(self, gate: Gate) -> Gate:
        if gate.offers is None:
            return self._any(Gate((_negated(literal),)) for literal in gate.needs)
        if not gate.needs:
            return Gate(tuple(map(_negated, gate.offers)))
        return Gate((_negated(self._literal(gate)),))

    def _repeated(self, gate: Gate) -> Gate:
        few = len(gate.clauses()) <= MOST_REPEATED
        return Gate(gate.needs, gate.offers) if few else Gate((self._literal(gate),))

    def _literal(self, gate: Gate) -> Literal:
        """What stands for a whole gate in another one."""
        if gate.offers is None and len(gate.needs) == 1:
            return gate.needs[0]
        placed = self._placed.get(gate.content)
        if placed is None:
            placed = self._placed[gate.content] = gate
            self.inner.append(gate)
        return self._asking(placed, placed).needs[0]


def _negated(literal: Literal) -> Literal:
    clause, so = literal
    return clause, not so


def gating(rules: Mapping[str, Rule], static: Iterable[str], before: Gates | None = None) -> Steps[Gates]:
    """An audience comes after those that it refers to; one without a rule is taken for a static one.

    `before`: those of rules of which many are the same. Raises ValueError on a circle of references.
    """
    gates = Gates()
    references = yield from _read_leaves(gates, rules, before)
    for audience_id in sorted({*static, *chain.from_iterable(references.values())} - rules.keys()):
        gates.add_list(audience_id)
    waiting: set[str] = set()
    pending = list(reversed(tuple(rules)))
    while pending:
        audience_id = pending[-1]
        missing = [each for each in references[audience_id] if each in rules and each not in gates.audiences]
        if missing and audience_id in waiting:
            raise ValueError(f"audiences refer to each other in a circle: {' -> '.join(find_cycle(rules) or ())}")
        if missing:
            waiting.add(audience_id)
            pending += missing
        elif pending.pop() not in gates.audiences:
            yield
            gates.add_rule(audience_id, rules[audience_id])
    return gates


def _read_leaves(gates: Gates, rules: Mapping[str, Rule], before: Gates | None) -> Steps[dict[str, list[str]]]:
    """Which audiences each refers to."""
    references = {}
    for audience_id, rule in rules.items():
        named = references[audience_id] = list[str]()
        for place, leaf in enumerate(leaves(rule)):
            if place % LEAVES_A_STEP == 0:
                yield
            if isinstance(leaf, InAudience):
                named.append(leaf.audience_id)
            else:
                gates.read(leaf, before)
    return references
