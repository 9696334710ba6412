"""What an org's audiences ask about events, and whether it is gathered yet."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Text, cast, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.features import preparing
from store.tables import audiences, event_features
from wire import codec
from wire.codec import DecodeError
from wire.features import Feature
from wire.rule_tree import Rule
from wire.rules import RuleError, parse_rule


@dataclass(frozen=True, slots=True)
class Gathered:
    """A feature, and how far the past is gathered. `ready`: moments that every user state has for certain."""

    feature: Feature
    ready: int
    done: int
    total: int

    @property
    def percent(self) -> int:
        """100 only when all that is kept is there."""
        if self.ready >= self.feature.kept:
            return 100
        return min(self.done * 100 // self.total, 99) if self.total else 0


async def gathered_of(connection: AsyncConnection, org_id: UUID) -> dict[str, Gathered]:
    """By feature id. Left out are those that are being removed, and those that another version has written."""
    kept = select(event_features).where(event_features.c.org_id == org_id, event_features.c.kept > 0)
    found: dict[str, Gathered] = {}
    for row in await connection.execute(kept):
        with contextlib.suppress(ValueError, TypeError):
            feature = Feature.from_fields([row.event, row.where, row.kept])
            found[row.id] = Gathered(feature, row.ready, row.done, row.total)
    return found


class StoredRules(NamedTuple):
    """Of an org's audiences, by their ids, static ones left out. The compiler reports what cannot be read."""

    rules: dict[str, Rule]
    unreadable: list[str]


async def rules_of(connection: AsyncConnection, org_id: UUID) -> StoredRules:
    """JSON is parsed here and not by the driver, where one unreadable value would fail the whole org."""
    rule = cast(audiences.c.rule, Text).label("rule")
    named = select(audiences.c.id, rule).where(audiences.c.org_id == org_id, audiences.c.rule.is_not(None))
    stored = StoredRules({}, [])
    for row in await connection.execute(named):
        try:
            stored.rules[str(row.id)] = parse_rule(codec.from_json(row.rule))
        except (RuleError, DecodeError):
            stored.unreadable.append(str(row.id))
    return stored


async def mark_preparing(connection: AsyncConnection, org_id: UUID) -> list[UUID]:
    """Brings `audiences.preparing` up to date; returns the audiences that are ready only now.

    The caller holds the org's row, so that nobody changes a rule or a feature meanwhile.
    """
    rules = (await rules_of(connection, org_id)).rules
    waiting = preparing(rules, ready_of(await gathered_of(connection, org_id)))
    mine = audiences.c.org_id == org_id
    named = [UUID(audience_id) for audience_id in waiting]
    begin = update(audiences).where(mine, audiences.c.id.in_(named), ~audiences.c.preparing).values(preparing=True)
    end = update(audiences).where(mine, audiences.c.id.not_in(named), audiences.c.preparing).values(preparing=False)
    await connection.execute(begin)
    return list((await connection.execute(end.returning(audiences.c.id))).scalars())


def ready_of(gathered: Mapping[str, Gathered]) -> dict[str, int]:
    """Feature id → how many moments user states have for certain, as `engine.features.preparing` takes it."""
    return {feature_id: each.ready for feature_id, each in gathered.items()}
