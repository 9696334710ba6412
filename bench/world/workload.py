"""Workload W: one org with its audiences, messages and customers. Always the same.

W has 1,000 messages, 200 audiences over 300 distinct clauses, 100,000 customers of 2.2 kB each. A message is 560 bytes
of an answer. Without context a customer is given 99 messages on average (from 63 to 143), a tenth of all, 55 kB; with
`resolve` 17, 8 kB. W10 and W10k have 10 and 10,000 messages, and a customer is given the same 6 of both, 3.2 kB: what
differs is the org.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final
from uuid import UUID

from bench.world import customers
from bench.world.aims import W10, Sizes, aims, for_nobody
from bench.world.audiences import Shape, audiences, kinds
from bench.world.customers import Population
from bench.world.messages import authored
from compiler.compile import Compiled, compile_org
from compiler.snapshot import MessageRow, Snapshot
from engine.audiences import StoredAudience
from engine.features import features_of
from engine.rules import compile_rules
from service.clock import wall_now_ms
from wire import apikeys, codec, subjects
from wire.bundle import Settings, Version
from wire.rule_tree import AllOf, AnyOf, InAudience, Not, Rule, to_json
from wire.userstate import UserState

CUSTOMERS: Final = 100_000
W10K: Final = 10_000
JSON_COLUMNS: Final = ("content", "appearance", "trigger", "frequency_cap")
"""Of a message row: JSON as text."""

_SEED: Final = 20_260_315
_HOUR_MS: Final = 3_600_000
_MEASURED: Final = 1_000
_A_NUMBER: Final = re.compile(r'("trait":"[^"]+","op":"(?:gt|gte|lt|lte)","value":)\d+')


@dataclass(frozen=True, slots=True)
class Workload:
    """An org. `key`: its public key; `now_ms`: when this is, all else lies around it. `sizes`: of its audiences."""

    org_id: UUID
    key: str
    now_ms: int
    rules: Mapping[str, Rule]
    sizes: Sizes
    snapshot: Snapshot
    population: Population

    def compiled(self) -> Compiled:
        return compile_org(self.snapshot, self.now_ms)


def workload(messages: int = 1_000, *, now_ms: int | None = None) -> Workload:
    """The same for the same number of messages, but that every moment moves along with `now_ms` (None: this hour)."""
    now_ms = wall_now_ms() // _HOUR_MS * _HOUR_MS if now_ms is None else now_ms
    org_id = _id(now_ms, 0xFFF, messages)
    key = apikeys.mint("pk", "prod", org_id)[:-32] + "B" * 32
    rules = _rules(now_ms)
    rings = tuple((id_, feature.kept) for id_, feature in features_of(rules.values()).items())
    population = Population(now_ms, kinds(Shape(0).traits, now_ms), rings)
    sizes = _sizes(rules, population)
    rows = _message_rows(messages, sizes, now_ms)
    snapshot = Snapshot(
        org_id,
        Version(1, 1, 1),
        Settings(),
        frozenset([apikeys.digest(key)]),
        tuple(_stored(audience_id, rule) for audience_id, rule in rules.items()),
        rows,
    )
    shown = rows[:W10] if messages == W10K else rows  # what is for nobody, nobody has seen
    capped = tuple(str(row.id) for row in shown if row.frequency_cap is not None)
    return Workload(org_id, key, now_ms, rules, sizes, snapshot, population._replace(message_ids=capped))


def edited(before: Workload, number: int) -> Workload:
    """As after one more edit: of the message of this number, counted round and round."""
    rows = list(before.snapshot.messages)
    row = rows[number % len(rows)]
    content = {**json.loads(row.content), "title": f"Edit {number}"}
    rows[number % len(rows)] = row._replace(version=row.version + 1, content=json.dumps(content))
    version = before.snapshot.version._replace(revision=before.snapshot.version.revision + 1)
    return replace(before, snapshot=replace(before.snapshot, version=version, messages=tuple(rows)))


def with_other_number(before: Workload) -> Workload:
    """As after an edit of one number in the rule of one audience."""
    stored = list(before.snapshot.audiences)
    place = next(place for place, each in enumerate(stored) if _A_NUMBER.search(each.rule or ""))
    rule = _A_NUMBER.sub(r"\g<1>12345", stored[place].rule or "", count=1)
    stored[place] = replace(stored[place], rule=rule)
    version = before.snapshot.version._replace(revision=before.snapshot.version.revision + 1)
    return replace(before, snapshot=replace(before.snapshot, version=version, audiences=tuple(stored)))


def customer(workload: Workload, number: int) -> UserState:
    """The state of the customer `subject(number)`."""
    return customers.made(workload.population, number)


def subject(number: int) -> str:
    return subjects.user(customers.user_id(number))


def _message_rows(messages: int, sizes: Sizes, now_ms: int) -> tuple[MessageRow, ...]:
    return tuple(
        _row(number, columns, now_ms - messages + number)
        for number, columns in enumerate(_columns(messages, sizes, now_ms))
    )


def _columns(messages: int, sizes: Sizes, now_ms: int) -> list[dict[str, Any]]:
    """Those of W10k begin with those of W10."""
    random = Random(_SEED + messages)  # noqa: S311
    if messages == W10K:
        others = for_nobody(messages - W10, sizes, random)
        return [*_columns(W10, sizes, now_ms), *authored(others, now_ms, random)]
    return list(authored(aims(messages, sizes, random), now_ms, random))


def _row(number: int, columns: Mapping[str, Any], created_ms: int) -> MessageRow:
    """As the compiler reads it: JSON as text."""
    stored = {name: columns[name] for name in MessageRow._fields if name in columns}
    as_text = {name: json.dumps(stored[name]) for name in JSON_COLUMNS if stored[name] is not None}
    made = {"id": _id(created_ms, 1, number), "version": 1, "created_ms": created_ms}
    return MessageRow(**{**stored, **as_text, **made})


def _rules(now_ms: int) -> dict[str, Rule]:
    """By ids that Postgres would take for ids."""
    named = audiences(Shape(200), now_ms)
    ids = {name: str(_id(now_ms, 0xFFE, place)) for place, name in enumerate(named)}
    return {ids[name]: _renamed(rule, ids) for name, rule in named.items()}


def _renamed(rule: Rule, ids: Mapping[str, str]) -> Rule:
    match rule:
        case AllOf(parts) | AnyOf(parts):
            return type(rule)(tuple(_renamed(part, ids) for part in parts))
        case Not(negated):
            return Not(_renamed(negated, ids))
        case InAudience(audience_id):
            return InAudience(ids[audience_id])
        case _:
            return rule


def _sizes(rules: Mapping[str, Rule], population: Population) -> dict[str, float]:
    """Of a sample."""
    membership = compile_rules(rules)
    found = dict.fromkeys(rules, 0)
    for number in range(_MEASURED):
        state = customers.made(population, number)
        mask, _ = membership.evaluate(state.traits, state.rings, frozenset(), population.now_ms)
        for audience_id in membership.ids_of(mask):
            found[audience_id] += 1
    return {audience_id: count / _MEASURED for audience_id, count in found.items()}


def _stored(audience_id: str, rule: Rule) -> StoredAudience:
    return StoredAudience(UUID(audience_id), audience_id, codec.to_json(to_json(rule)).decode(), preparing=False)


def _id(now_ms: int, kind: int, number: int) -> UUID:
    """Of the shape that `store.ids` gives ids. `kind` keeps those of different things apart."""
    return UUID(int=now_ms << 80 | 7 << 76 | 2 << 62 | kind << 32 | number)
