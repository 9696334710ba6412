"""An org's audiences as they are stored → which of them can be used, and what is wrong with the others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from wire import codec
from wire.codec import DecodeError
from wire.problems import NO_AUDIENCE, Problem
from wire.rule_tree import Rule, audience_refs, find_cycle, to_json
from wire.rules import RuleError, parse_rule

Problems = Mapping[str, Sequence[Problem]]

_RULES_KEPT = 1_000
"""Read rules, of whatever orgs: all of an org's are needed for every look at one of them."""


@dataclass(frozen=True, slots=True)
class StoredAudience:
    """`rule`: its JSON; None: a static audience. `preparing`: user states do not have yet all that it takes to decide
    it."""

    id: UUID
    name: str
    rule: str | None
    preparing: bool


@dataclass(frozen=True, slots=True)
class Audiences:
    """By id. `rules`: those that can be read; `unreadable`: why the others cannot.

    `usable`: rules of audiences that can be decided, None for a static one; `broken`: every reason why the others
    cannot, the unreadable ones included. `preparing`: those that user states cannot decide yet, through no fault of
    theirs.
    """

    names: Mapping[str, str]
    rules: Mapping[str, Rule]
    unreadable: Problems
    usable: Mapping[str, Rule | None]
    broken: Problems
    preparing: frozenset[str]

    @property
    def usable_rules(self) -> dict[str, Rule]:
        """Without static audiences."""
        return {audience_id: rule for audience_id, rule in self.usable.items() if rule is not None}

    def problems(self, audience_id: str, pointer: str) -> list[Problem]:
        """What is wrong with a message that refers to the audience at `pointer`."""
        if audience_id in self.usable:
            return []
        if audience_id not in self.broken:
            return [Problem(pointer, *NO_AUDIENCE)]
        return [
            Problem(pointer, problem.code, f"Audience {self._quoted(audience_id)} cannot be used: {_in_words(problem)}")
            for problem in self.broken[audience_id]
        ]

    def with_references(self, audience_ids: Iterable[str]) -> set[str]:
        """The given usable audiences and all that their rules refer to, directly or not."""
        found: set[str] = set()
        pending = list(audience_ids)
        while pending:
            audience_id = pending.pop()
            if audience_id not in found:
                found.add(audience_id)
                rule = self.usable[audience_id]
                pending.extend(audience_refs(rule) if rule is not None else ())
        return found

    def ready(self) -> frozenset[str]:
        """Those usable ones that can be decided now, with all that their rules refer to."""
        if not self.preparing:
            return frozenset(self.usable)
        return frozenset(id_ for id_ in self.usable if self.preparing.isdisjoint(self.with_references([id_])))

    def rule_json(self, audience_id: str) -> Mapping[str, Any] | None:
        rule = self.usable[audience_id]
        return None if rule is None else to_json(rule)

    def with_rule(self, audience_id: str, rule: Rule) -> "Audiences":
        """As if the audience had this rule; one that is not there yet is added."""
        unreadable = {other: problems for other, problems in self.unreadable.items() if other != audience_id}
        static = [other for other in self.names if self.is_static(other) and other != audience_id]
        names = {audience_id: "", **self.names}
        return _judged(names, {**self.rules, audience_id: rule}, static, unreadable, self.preparing)

    def is_static(self, audience_id: str) -> bool:
        return audience_id in self.usable and self.usable[audience_id] is None

    def dangling(self) -> dict[str, list[Problem]]:
        """Usable audiences whose rules refer to what is missing or broken."""
        found = {}
        for audience_id, rule in self.usable_rules.items():
            bad = sorted(audience_refs(rule) - self.usable.keys())
            if bad:
                found[audience_id] = [self._bad_reference(ref) for ref in bad]
        return found

    def circle(self) -> dict[str, list[Problem]]:
        """Usable audiences along one circle of references."""
        circle = find_cycle(self.usable_rules)
        if circle is None:
            return {}
        path = " → ".join(map(self._quoted, circle))
        problem = Problem("/rule", "audience_cycle", f"Audiences refer to each other in a circle: {path}.")
        return {audience_id: [problem] for audience_id in circle}

    def _quoted(self, audience_id: str) -> str:
        return f"“{self.names.get(audience_id, audience_id)}”"

    def _bad_reference(self, ref: str) -> Problem:
        if ref in self.broken:
            return Problem("/rule", "audience_broken", f"It refers to {self._quoted(ref)}, which cannot be used.")
        return Problem("/rule", "audience_not_found", f"It refers to {ref}, which does not exist.")


def read(rows: Iterable[StoredAudience]) -> Audiences:
    """All of an org. An audience that refers to a broken one is broken too."""
    names: dict[str, str] = {}
    rules: dict[str, Rule] = {}
    unreadable: dict[str, Sequence[Problem]] = {}
    static, preparing = set(), set()
    for row in rows:
        audience_id = str(row.id)
        names[audience_id] = row.name
        if row.preparing:
            preparing.add(audience_id)
        match None if row.rule is None else _read_rule(row.rule):
            case None:
                static.add(audience_id)
            case tuple(problems):
                unreadable[audience_id] = problems
            case rule:
                rules[audience_id] = rule
    return _judged(names, rules, static, unreadable, frozenset(preparing))


def _judged(
    names: Mapping[str, str],
    rules: Mapping[str, Rule],
    static: Iterable[str],
    unreadable: Problems,
    preparing: frozenset[str],
) -> Audiences:
    usable: dict[str, Rule | None] = {**rules, **dict.fromkeys(static)}
    broken = dict(unreadable)
    audiences = Audiences(names, rules, unreadable, usable, broken, preparing)
    while found := audiences.dangling() or audiences.circle():
        broken |= found
        for audience_id in found:
            del usable[audience_id]
    return audiences


@lru_cache(maxsize=_RULES_KEPT)
def _read_rule(rule_json: str) -> Rule | tuple[Problem, ...]:
    """Or every reason why it cannot be read. JSON that Python cannot hold is taken for text, which is no rule."""
    try:
        value: object = codec.from_json(rule_json)
    except DecodeError:
        value = rule_json
    try:
        return parse_rule(value, pointer="/rule")
    except RuleError as error:
        return tuple(error.problems)


def _in_words(problem: Problem) -> str:
    return f"{problem.pointer}: {problem.message}" if problem.pointer != "/rule" else problem.message
