"""Reading an audience's rule in the light of the org's others."""

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from admin.fields import read_id
from engine.features import features_of
from wire import codec
from wire.features import MOST_FEATURES, MOST_MOMENTS
from wire.problems import NO_AUDIENCE, Problem, child_pointer
from wire.rule_tree import Rule, audience_refs, find_cycle, find_oversized, reachable
from wire.rules import RuleError, parse_rule

Others = Mapping[UUID, Any]
"""The org's audiences with their rules as they are stored; None of a static one."""

_RULES_KEPT = 1_000
"""Read rules, of whatever orgs: all of an org's are needed for every look at one of them."""


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
    problems = _unknown(value, pointer, others) or list(_combined(rule, pointer, others, audience_id))
    return Reading(None if problems else rule, problems)


def readable_rules(others: Others) -> dict[str, Rule]:
    """By audience id. Left out are static ones, and rules that cannot be read."""
    read = {str(audience_id): _read(codec.canonical_json(rule)) for audience_id, rule in others.items()}
    return {audience_id: rule for audience_id, rule in read.items() if rule is not None}


def usable_rules(others: Others) -> dict[str, Rule]:
    """The readable ones, without those of which nobody can say who is in them: they refer to something that is not
    there or not usable itself, or to one another in a circle."""
    return _usable(readable_rules(others), _static(others))


def stored_problems(audience_id: UUID, rule: object, usable: Collection[str]) -> list[Problem]:
    """Why a stored audience cannot be used; `usable`: the keys of `usable_rules`."""
    if rule is None or str(audience_id) in usable:
        return []
    try:
        parse_rule(rule, pointer="/rule")
    except RuleError as error:
        return error.problems
    message = "It refers to an audience that cannot be used, or to itself through others; mend that, or this rule."
    return [Problem("/rule", "audience_broken", message)]


@lru_cache(maxsize=_RULES_KEPT)
def _read(rule_json: bytes) -> Rule | None:
    try:
        return parse_rule(codec.from_json(rule_json))
    except RuleError:
        return None


def _static(others: Others) -> set[str]:
    return {str(audience_id) for audience_id, rule in others.items() if rule is None}


def _usable(readable: Mapping[str, Rule], static: Collection[str]) -> dict[str, Rule]:
    rules = dict(readable)
    while bad := _dangling(rules, static) or set(find_cycle(rules) or ()):
        for audience_id in bad:
            del rules[audience_id]
    return rules


def _dangling(rules: Mapping[str, Rule], static: Collection[str]) -> set[str]:
    known = rules.keys() | set(static)
    return {audience_id for audience_id, rule in rules.items() if audience_refs(rule) - known}


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


def _combined(rule: Rule, pointer: str, others: Others, audience_id: UUID | None) -> Iterator[Problem]:
    """What is wrong with the rule only together with those that it refers to, or that refer to it."""
    name = str(audience_id) if audience_id else ""
    rules = {**readable_rules(others), name: rule}
    usable = _usable(rules, _static(others))
    if find_cycle({**reachable(rule, rules), name: rule}) is not None:
        message = "This audience would refer to itself, directly or through others."
        yield Problem(pointer, "audience_cycle", message)
    elif name not in usable:
        message = "An audience that it refers to cannot be used; mend that one first."
        yield Problem(pointer, "audience_broken", message)
    elif find_oversized(usable) is not None:
        message = "With the audiences that it refers to, or that refer to it, this rule is too large; split it."
        yield Problem(pointer, "rule_too_large", message)
    yield from _too_many_features(rules, pointer)


def _too_many_features(rules: Mapping[str, Rule], pointer: str) -> Iterator[Problem]:
    features = features_of(rules.values()).values()
    moments = sum(feature.kept for feature in features)
    if len(features) > MOST_FEATURES or moments > MOST_MOMENTS:
        message = (
            f"The org's audiences together would ask about {len(features):,} kinds of events and {moments:,} moments"
            f" of them; at most {MOST_FEATURES:,} and {MOST_MOMENTS:,} can be kept. Ask about the same events, with the"
            " same 'where', as other audiences do, use smaller counts, or delete audiences that nothing uses."
        )
        yield Problem(pointer, "too_many_features", message)
