"""How far what an audience asks about past events is gathered."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from engine.audiences import Audiences
from engine.features import features_of
from store.audiences import read_audiences
from store.features import Gathered, gathered_of, progress_of
from wire.features import Feature

_READY = 100


@dataclass(frozen=True, slots=True)
class Readiness:
    """Of all of an org's audiences. `gathered`: by feature id."""

    audiences: Audiences
    gathered: Mapping[str, Gathered]

    def percent(self, audience_id: UUID, preparing: bool) -> int:
        """The least of the features that decide the audience; 100 only once it is ready."""
        named = str(audience_id)
        if not preparing or named not in self.audiences.usable:
            return _READY
        rules = self.audiences.rules
        needed = features_of(rules[id_] for id_ in self.audiences.with_references([named]) if id_ in rules)
        least = min((self._percent_of(feature) for feature in needed.values()), default=_READY)
        return progress_of(least, ready=False)

    def _percent_of(self, feature: Feature) -> int:
        gathered = self.gathered.get(feature.id)
        if gathered is None:
            return 0
        if gathered.ready >= feature.kept:
            return _READY
        return gathered.percent if gathered.feature.kept >= feature.kept else 0


async def readiness_of(connection: AsyncConnection, org_id: UUID) -> Readiness:
    return Readiness(await read_audiences(connection, org_id), await gathered_of(connection, org_id))
