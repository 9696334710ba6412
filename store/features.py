"""What an org's audiences ask about events, and whether it is gathered yet."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.features import preparing
from store.audiences import read_audiences
from store.tables import audiences, event_features
from wire.features import Feature


@dataclass(frozen=True, slots=True)
class Gathered:
    """A feature, and how far the past is gathered. `ready`: moments that every user state has for certain."""

    feature: Feature
    ready: int
    done: int
    total: int

    @property
    def percent(self) -> int:
        share = self.done * 100 // self.total if self.total else 0
        return progress_of(share, ready=self.ready >= self.feature.kept)


def progress_of(percent: float, *, ready: bool) -> int:
    """What is told of something that is so far gathered: 100 exactly once it is ready."""
    return 100 if ready else min(int(percent), 99)


async def gathered_of(connection: AsyncConnection, org_id: UUID) -> dict[str, Gathered]:
    """By feature id. Left out are those that are being removed, and those that another version has written."""
    kept = select(event_features).where(event_features.c.org_id == org_id, event_features.c.kept > 0)
    found: dict[str, Gathered] = {}
    for row in await connection.execute(kept):
        with contextlib.suppress(ValueError, TypeError):
            feature = Feature.from_fields([row.event, row.where, row.kept])
            found[row.id] = Gathered(feature, row.ready, row.done, row.total)
    return found


async def mark_preparing(connection: AsyncConnection, org_id: UUID) -> list[UUID]:
    """Brings `audiences.preparing` up to date; returns the audiences that are ready only now.

    The caller holds the org's row, so that nobody changes a rule or a feature meanwhile.
    """
    rules = (await read_audiences(connection, org_id)).rules
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
