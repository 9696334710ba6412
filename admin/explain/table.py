"""Rows → what an edge decides with, made as bundles are."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from admin.messages.schemas import MessageProblem
from engine.features import features_of
from engine.message import compiled
from engine.table import OrgTable, TableError, prepare
from wire.bundle import EVERYONE, Bundle, CompiledMessage, Manifest, Version
from wire.problems import NO_AUDIENCE, Problem
from wire.rule_tree import Rule, audience_refs, to_json
from wire.rules import RuleError, parse_rule


@dataclass(frozen=True, slots=True)
class Audiences:
    """An org's, by id. `rules`: of those that have one that can be read."""

    names: Mapping[str, str]
    rules: Mapping[str, Rule]
    preparing: frozenset[str]
    unreadable: frozenset[str]

    def needed(self, audience_ids: Iterable[str]) -> set[str]:
        """The given ones and all that their rules refer to, directly or not."""
        found: set[str] = set()
        pending = list(audience_ids)
        while pending:
            if (audience_id := pending.pop()) not in found:
                found.add(audience_id)
                rule = self.rules.get(audience_id)
                pending.extend(audience_refs(rule) if rule is not None else ())
        return found

    def is_usable(self, audience_id: str) -> bool:
        return all(id_ in self.names and id_ not in self.unreadable for id_ in self.needed([audience_id]))


def read_audiences(rows: Iterable[Row[Any]]) -> Audiences:
    names, rules, preparing, unreadable = {}, {}, set(), set()
    for row in rows:
        audience_id = str(row.id)
        names[audience_id] = row.name
        if row.preparing:
            preparing.add(audience_id)
        try:
            if row.rule is not None:
                rules[audience_id] = parse_rule(row.rule)
        except RuleError:
            unreadable.add(audience_id)
    return Audiences(names, rules, frozenset(preparing), frozenset(unreadable))


@dataclass(frozen=True, slots=True)
class Targeted:
    """A message, and the audience that it is for."""

    message: CompiledMessage
    audience_id: str | None

    def audience_ids(self) -> dict[str, str]:
        """Pointer of each place that names an audience → its id."""
        excluded = enumerate(self.message.exclude_audience_ids)
        named = {
            "/audienceId": self.audience_id,
            "/trigger/audienceId": (self.message.trigger or {}).get("audienceId"),
            **{f"/excludeAudienceIds/{index}": audience_id for index, audience_id in excluded},
        }
        return {pointer: audience_id for pointer, audience_id in named.items() if audience_id is not None}


def targeted(row: Row[Any]) -> Targeted:
    """Of a row without problems."""
    stored: Any = row
    audience_id: UUID | None = row.audience_id
    return Targeted(compiled(stored), None if audience_id is None else str(audience_id))


def table_of(messages: Sequence[Targeted], audiences: Audiences) -> OrgTable:
    """As if all of them were published, and everything that is asked about events were gathered. Raises TableError."""
    by_audience: defaultdict[str, list[CompiledMessage]] = defaultdict(list)
    for one in messages:
        by_audience[one.audience_id or EVERYONE].append(one.message)
    named = (audience_id for one in messages for audience_id in one.audience_ids().values())
    needed = audiences.needed(named)
    bundles = {id_: Bundle(id_, _rule_json(audiences, id_), tuple(by_audience[id_])) for id_ in (*needed, EVERYONE)}
    features = features_of(audiences.rules[id_] for id_ in needed & audiences.rules.keys())
    manifest = Manifest(
        Version(0, 0, 0), len(messages), dict.fromkeys(bundles, ""), frozenset(), tuple(features.values())
    )
    return prepare(manifest, bundles)


def with_rivals(message: Targeted, rivals: Sequence[Targeted], audiences: Audiences) -> OrgTable:
    """The table of both; rivals that no edge could use are left out. Raises TableError for the message itself."""
    usable = [one for one in rivals if not unusable_audiences(one, audiences)]
    try:
        return table_of([message, *usable], audiences)
    except TableError:
        return table_of([message, *(one for one in usable if _can_be_prepared(one, audiences))], audiences)


def unusable_audiences(message: Targeted, audiences: Audiences) -> list[MessageProblem]:
    found = [
        Problem(pointer, *NO_AUDIENCE)
        if audience_id not in audiences.names
        else Problem(pointer, "audience_broken", f"Audience “{audiences.names[audience_id]}” cannot be used.")
        for pointer, audience_id in message.audience_ids().items()
        if not audiences.is_usable(audience_id)
    ]
    return [MessageProblem(**problem._asdict()) for problem in found]


def _can_be_prepared(message: Targeted, audiences: Audiences) -> bool:
    try:
        table_of([message], audiences)
    except TableError:
        return False
    return True


def _rule_json(audiences: Audiences, audience_id: str) -> dict[str, object] | None:
    rule = audiences.rules.get(audience_id)
    return None if rule is None else to_json(rule)
