"""Reading an audience's rule in the light of the org's others."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from admin.fields import read_id
from wire.problems import NO_AUDIENCE, Problem, child_pointer
from wire.rule_tree import Rule, audience_refs, find_cycle, find_oversized
from wire.rules import RuleError, parse_rule

Others = Mapping[UUID, dict[str, Any] | None]
"""The org's audiences with their rules as JSON; None of a static one."""


class Reading(NamedTuple):
    """`rule` None: there are problems."""

    rule: Rule | None
    problems: list[Problem]


def read_rule(value: object, pointer: str, others: Others, audience_id: UUID | None = None) -> Reading:
    """`audience_id`: the audience whose rule this is to become; None for one that is not there yet."""
    try:
        rule = parse_rule(value, pointer=pointer)
    except RuleError as error:
        return Reading(None, error.problems)
    problems = _unknown(value, pointer, others) or _combined(rule, pointer, others, audience_id)
    return Reading(None if problems else rule, problems)


def stored_rules(others: Others) -> dict[str, Rule]:
    """The rules by their audience's id, without the static ones."""
    return {str(audience_id): parse_rule(rule) for audience_id, rule in others.items() if rule is not None}


def _unknown(value: Any, pointer: str, others: Others) -> list[Problem]:
    """Where the rule names an audience that is not there."""
    problems: list[Problem] = []
    pending = [(value, pointer)]
    while pending:
        node, at = pending.pop()
        for kind in ("all", "any"):
            parts = node.get(kind, [])
            pending.extend((part, child_pointer(at, kind, index)) for index, part in enumerate(parts))
        if "not" in node:
            pending.append((node["not"], child_pointer(at, "not")))
        if "audience" in node and read_id(node["audience"]) not in others:
            problems.append(Problem(child_pointer(at, "audience"), *NO_AUDIENCE))
    return problems


def _combined(rule: Rule, pointer: str, others: Others, audience_id: UUID | None) -> list[Problem]:
    """What is wrong with the rule only together with those that it refers to, or that refer to it."""
    name = str(audience_id) if audience_id else ""
    rules = {**stored_rules(others), name: rule}
    if find_cycle(rules) is not None:
        message = "This audience would refer to itself, directly or through others."
        return [Problem(pointer, "audience_cycle", message)]
    if find_oversized(rules) is not None:
        message = "With the audiences that it refers to, or that refer to it, this rule is too large; split it."
        return [Problem(pointer, "rule_too_large", message)]
    return []


def refers_to(rule: dict[str, Any] | None, audience_id: UUID) -> bool:
    """Whether the rule names the audience itself."""
    return rule is not None and str(audience_id) in audience_refs(parse_rule(rule))
