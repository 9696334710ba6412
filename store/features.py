"""What an org's audiences ask about events, and whether it is gathered yet."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.features import preparing
from store.tables import audiences, event_features
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
    """By feature id."""
    rows = await connection.execute(select(event_features).where(event_features.c.org_id == org_id))
    return {
        row.id: Gathered(Feature.from_fields([row.event, row.where, row.kept]), row.ready, row.done, row.total)
        for row in rows
    }


async def rules_of(connection: AsyncConnection, org_id: UUID) -> dict[str, Rule]:
    """The rules of an org's audiences by their ids, static ones left out, and what cannot be read: the compiler says so."""
    named = select(audiences.c.id, audiences.c.rule).where(audiences.c.org_id == org_id, audiences.c.rule.is_not(None))
    rules: dict[str, Rule] = {}
    for row in await connection.execute(named):
        with contextlib.suppress(RuleError):
            rules[str(row.id)] = parse_rule(row.rule)
    return rules


async def mark_preparing(connection: AsyncConnection, org_id: UUID) -> Sequence[UUID]:
    """Brings `audiences.preparing` up to date; returns the audiences that are ready only now.

    The caller holds the org's row, so that nobody changes a rule or a feature meanwhile.
    """
    rules = await rules_of(connection, org_id)
    waiting = preparing(rules, ready_of(await gathered_of(connection, org_id)))
    mine = audiences.c.org_id == org_id
    named = [UUID(audience_id) for audience_id in waiting]
    begin = update(audiences).where(mine, audiences.c.id.in_(named), ~audiences.c.preparing).values(preparing=True)
    end = update(audiences).where(mine, audiences.c.id.not_in(named), audiences.c.preparing).values(preparing=False)
    await connection.execute(begin)
    return (await connection.execute(end.returning(audiences.c.id))).scalars().all()


def ready_of(gathered: Mapping[str, Gathered]) -> dict[str, int]:
    """Feature id → how many moments user states have for certain, as `engine.features.preparing` takes it."""
    return {feature_id: each.ready for feature_id, each in gathered.items()}
