"""Which of an org's audiences can be used, and what is wrong with the others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compiler.snapshot import AudienceRow
from wire.problems import NO_AUDIENCE, Problem
from wire.rule_tree import Rule, audience_refs, find_cycle, to_json
from wire.rules import RuleError, parse_rule


@dataclass(frozen=True, slots=True)
class Audiences:
    """By id. `usable`: parsed rules, None for a static audience; `broken`: every reason why it cannot be used.

    `preparing`: those that user states cannot decide yet, through no fault of theirs.
    """

    names: Mapping[str, str]
    usable: Mapping[str, Rule | None]
    broken: Mapping[str, Sequence[Problem]]
    preparing: frozenset[str]

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
        """The given audiences and all that their rules refer to, directly or not."""
        found: set[str] = set()
        pending = list(audience_ids)
        while pending:
            audience_id = pending.pop()
            if audience_id not in found:
                found.add(audience_id)
                rule = self.usable[audience_id]
                pending.extend(audience_refs(rule) if rule is not None else ())
        return found

    def are_ready(self, audience_ids: Iterable[str]) -> bool:
        """Whether these, and all that their rules refer to, can be decided now."""
        return not self.preparing or self.preparing.isdisjoint(self.with_references(audience_ids))

    def rule_json(self, audience_id: str) -> Mapping[str, Any] | None:
        rule = self.usable[audience_id]
        return None if rule is None else to_json(rule)

    def _quoted(self, audience_id: str) -> str:
        return f"“{self.names.get(audience_id, audience_id)}”"

    def dangling(self) -> dict[str, list[Problem]]:
        """Audiences whose rules refer to what is missing or broken."""
        found = {}
        for audience_id, rule in self.usable.items():
            bad = sorted(audience_refs(rule) - self.usable.keys()) if rule is not None else []
            if bad:
                found[audience_id] = [self._bad_reference(ref) for ref in bad]
        return found

    def circle(self) -> dict[str, list[Problem]]:
        """Audiences along one circle of references."""
        circle = find_cycle({id_: rule for id_, rule in self.usable.items() if rule is not None})
        if circle is None:
            return {}
        path = " → ".join(map(self._quoted, circle))
        problem = Problem("/rule", "audience_cycle", f"Audiences refer to each other in a circle: {path}.")
        return {audience_id: [problem] for audience_id in circle}

    def _bad_reference(self, ref: str) -> Problem:
        if ref in self.broken:
            return Problem("/rule", "audience_broken", f"It refers to {self._quoted(ref)}, which cannot be used.")
        return Problem("/rule", "audience_not_found", f"It refers to {ref}, which does not exist.")


def read_audiences(rows: Sequence[AudienceRow]) -> Audiences:
    """An audience that refers to a broken one is broken too."""
    names = {str(row.id): row.name for row in rows}
    usable: dict[str, Rule | None] = {}
    broken: dict[str, Sequence[Problem]] = {}
    for row in rows:
        try:
            usable[str(row.id)] = None if row.rule is None else parse_rule(row.rule, pointer="/rule")
        except RuleError as error:
            broken[str(row.id)] = error.problems
    read = Audiences(names, usable, broken, frozenset(str(row.id) for row in rows if row.preparing))
    while found := read.dangling() or read.circle():
        broken |= found
        for audience_id in found:
            del usable[audience_id]
    return read


def _in_words(problem: Problem) -> str:
    return f"{problem.pointer}: {problem.message}" if problem.pointer != "/rule" else problem.message
