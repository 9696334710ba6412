"""Reading an audience's rule in the light of the org's others."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from admin.fields import read_id
from engine.audiences import Audiences
from engine.features import features_of
from wire.features import MOST_FEATURES, MOST_MOMENTS
from wire.problems import NO_AUDIENCE, Problem, child_pointer
from wire.rule_tree import Rule, find_cycle, find_oversized, reachable, to_json
from wire.rules import RuleError, parse_rule


class Reading(NamedTuple):
    """`rule` None: there are problems."""

    rule: Rule | None
    problems: list[Problem]


def read_rule(value: object, pointer: str, others: Audiences, audience_id: UUID | None = None) -> Reading:
    """`audience_id`: the audience whose rule this is to become; None for one that is not there yet."""
    try:
        rule = parse_rule(value, pointer=pointer)
    except RuleError as error:
        return Reading(None, error.problems)
    problems = _unknown(value, pointer, others) or list(_combined(rule, pointer, others, audience_id))
    return Reading(None if problems else rule, problems)


def in_order(rule: object) -> Any:
    """A stored rule as people write it, if it can be read: Postgres keeps the fields of an object in its own order."""
    try:
        return None if rule is None else to_json(parse_rule(rule))
    except RuleError:
        return rule


def _unknown(value: Any, pointer: str, others: Audiences) -> list[Problem]:
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
        if "audience" in node and str(read_id(node["audience"])) not in others.names:
            problems.append(Problem(child_pointer(at, "audience"), *NO_AUDIENCE))
    return problems


def _combined(rule: Rule, pointer: str, others: Audiences, audience_id: UUID | None) -> Iterator[Problem]:
    """What is wrong with the rule only together with those that it refers to, or that refer to it."""
    name = str(audience_id) if audience_id else ""
    together = others.with_rule(name, rule)
    if find_cycle({**reachable(rule, together.rules), name: rule}) is not None:
        message = "This audience would refer to itself, directly or through others."
        yield Problem(pointer, "audience_cycle", message)
    elif name not in together.usable:
        message = "An audience that it refers to cannot be used; mend that one first."
        yield Problem(pointer, "audience_broken", message)
    elif find_oversized(together.usable_rules) is not None:
        message = "With the audiences that it refers to, or that refer to it, this rule is too large; split it."
        yield Problem(pointer, "rule_too_large", message)
    yield from _too_many_features(together.rules, pointer)


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
