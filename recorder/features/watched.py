"""What orgs watch for among events: their features, as a transaction finds them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.features import FeatureIndex
from recorder.rows.properties import Properties
from wire import codec
from wire.events import Event
from wire.features import Feature

log = structlog.get_logger("features")

_COMPILED_ORGS = 512


class FeatureRow(NamedTuple):
    """Of `event_features`. `where`: JSON as Postgres writes it, the same text for the same conditions."""

    id: str
    event: str
    where: str
    kept: int


@dataclass(frozen=True, slots=True)
class Watched:
    """The features of one org, ready to be looked for."""

    features: tuple[Feature, ...]
    kept: Mapping[str, int]
    index: FeatureIndex

    def of(self, event: Event, properties: Properties) -> Iterator[str]:
        """Ids of the features that count an event. `properties` is asked only when one depends on them."""
        if not self.index.watches(event.type):
            return iter(())
        asks = self.index.asks_for_properties(event.type)
        return (feature_id for feature_id, _ in self.index.of(event.type, properties(event) if asks else {}))


_FEATURES = text(
    """
    SELECT org_id, id, event, CAST("where" AS text) AS "where", kept
    FROM event_features
    WHERE org_id = ANY(CAST(:org_ids AS uuid[])) AND kept > 0
    ORDER BY org_id, id
    """
)


async def read(connection: AsyncConnection, org_ids: Collection[UUID]) -> dict[UUID, Watched]:
    """Of those orgs that have features. The transaction shares their lock."""
    rows = await connection.execute(_FEATURES, {"org_ids": list(set(org_ids))})
    return {
        org_id: compiled(tuple(FeatureRow(row.id, row.event, row.where, row.kept) for row in theirs))
        for org_id, theirs in groupby(rows, lambda row: row.org_id)
    }


@lru_cache(maxsize=_COMPILED_ORGS)
def compiled(rows: tuple[FeatureRow, ...]) -> Watched:
    """What cannot be read, because another version wrote it, is watched by nobody; it must not stop an org's events."""
    features = tuple(feature for row in rows if (feature := _feature(row)) is not None)
    return Watched(features, {feature.id: feature.kept for feature in features}, FeatureIndex(features))


def _feature(row: FeatureRow) -> Feature | None:
    try:
        return Feature.from_fields([row.event, codec.from_json(row.where.encode()), row.kept])
    except (ValueError, TypeError):
        log.error("feature_unreadable", id=row.id)
        return None
