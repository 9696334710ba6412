"""Rows → what an edge decides with, made as bundles are."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Row

from admin.messages.schemas import MessageProblem
from engine.audiences import Audiences
from engine.features import features_of
from engine.message import StoredMessage, compiled
from engine.table import OrgTable, TableError, prepare
from wire.bundle import EVERYONE, Bundle, CompiledMessage, Manifest, Version

_COLUMNS = [field.name for field in fields(StoredMessage)]


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
    stored = StoredMessage(**{name: row._mapping[name] for name in _COLUMNS})
    return Targeted(compiled(stored), None if stored.audience_id is None else str(stored.audience_id))


def table_of(messages: Sequence[Targeted], audiences: Audiences) -> OrgTable:
    """As if all of them were published, and everything that is asked about events were gathered. Raises TableError."""
    by_audience: defaultdict[str, list[CompiledMessage]] = defaultdict(list)
    for one in messages:
        by_audience[one.audience_id or EVERYONE].append(one.message)
    named = (audience_id for one in messages for audience_id in one.audience_ids().values())
    needed = audiences.with_references(named)
    bundles = {id_: Bundle(id_, audiences.rule_json(id_), tuple(by_audience[id_])) for id_ in needed}
    bundles[EVERYONE] = Bundle(EVERYONE, None, tuple(by_audience[EVERYONE]))
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
    """In the words of the compiler, which need not have seen them yet."""
    found = (audiences.problems(audience_id, pointer) for pointer, audience_id in message.audience_ids().items())
    return [MessageProblem(**problem._asdict()) for problems in found for problem in problems]


def _can_be_prepared(message: Targeted, audiences: Audiences) -> bool:
    try:
        table_of([message], audiences)
    except TableError:
        return False
    return True
