"""Rings as the recorder keeps them, and as they should be."""

from collections import defaultdict
from typing import Any
from uuid import UUID

from sqlalchemy import select

from engine.features import FeatureIndex
from store import tables
from tests.support.recorder_world import World
from wire.features import Feature, feature_id
from wire.rules import parse_where

Rings = dict[tuple[UUID, str], dict[str, tuple[int, ...]]]
"""(org, subject) → feature id → moments, newest first."""


def at_least(count: int, event_type: str = "paid", *where: dict[str, Any], within: str | None = None) -> dict[str, Any]:
    """The rule that somebody did something so often."""
    rule: dict[str, Any] = {"event": event_type, "where": list(where), "count": {"op": "gte", "value": count}}
    return rule if within is None else {**rule, "within": within}


def ring_id(event_type: str = "paid", *where: dict[str, Any]) -> str:
    """Of the feature that such a rule asks for."""
    return feature_id(event_type, parse_where(list(where)))


async def stored_rings(world: World) -> Rings:
    found: defaultdict[tuple[UUID, str], dict[str, tuple[int, ...]]] = defaultdict(dict)
    async with world.engine.connect() as connection:
        for row in await connection.execute(select(tables.event_rings)):
            found[row.org_id, row.subject][row.feature_id] = tuple(row.recent_ms)
    return dict(found)


async def projected_rings(world: World) -> Rings:
    """What Redis says of everybody who has a row in `customers`.

    Left out are those without rings, and rings of dropped features: a state need not be told that nobody reads them.
    """
    kept = set(await world.rows("SELECT org_id, id FROM event_features WHERE kept > 0"))
    found: Rings = {}
    for org_id, subject in await world.rows("SELECT org_id, subject FROM customers"):
        state = await world.state(subject, org_id)
        rings = {id_: ring for id_, ring in state.rings.items() if (org_id, id_) in kept} if state else {}
        if rings:
            found[org_id, subject] = rings
    return found


async def right_rings(world: World) -> Rings:
    """From scratch: what the engine makes of all stored events, without any SQL."""
    async with world.engine.connect() as connection:
        events = (await connection.execute(select(tables.events))).all()
        rows = (await connection.execute(select(tables.event_features))).all()
    features: defaultdict[UUID, list[Feature]] = defaultdict(list)
    for row in rows:
        features[row.org_id].append(Feature.from_fields([row.event, row.where, row.kept]))
    indexes = {org_id: FeatureIndex(theirs) for org_id, theirs in features.items()}
    right: defaultdict[tuple[UUID, str], dict[str, tuple[int, ...]]] = defaultdict(dict)
    for event in sorted(events, key=lambda event: -event.occurred_ms):
        if event.org_id in indexes:
            rings = right[event.org_id, event.subject]
            for id_, feature in indexes[event.org_id].of(event.type, event.properties):
                rings[id_] = (*rings.get(id_, ()), event.occurred_ms)[: feature.kept]
    return {key: rings for key, rings in right.items() if rings}
