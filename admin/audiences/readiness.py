"""How far what an audience asks about past events is gathered."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from admin.audiences import queries
from admin.audiences.rules import usable_rules
from engine.features import features_of
from store.features import Gathered, gathered_of
from wire.features import Feature
from wire.rule_tree import Rule, reachable

READY = 100
_ALMOST = 99


@dataclass(frozen=True, slots=True)
class Readiness:
    """Of all of an org's audiences. `rules`: the usable ones; `gathered`: by feature id."""

    rules: Mapping[str, Rule]
    gathered: Mapping[str, Gathered]

    def percent(self, audience_id: UUID, preparing: bool) -> int:
        """The least of the features that decide the audience; 100 only once it is ready."""
        rule = self.rules.get(str(audience_id))
        if not preparing or rule is None:
            return READY
        needed = features_of([rule, *reachable(rule, self.rules).values()])
        return min((self._percent_of(feature) for feature in needed.values()), default=_ALMOST)

    def _percent_of(self, feature: Feature) -> int:
        gathered = self.gathered.get(feature.id)
        if gathered is None:
            return 0
        if gathered.ready >= feature.kept:
            return _ALMOST
        return gathered.percent if gathered.feature.kept >= feature.kept else 0


async def readiness_of(connection: AsyncConnection, org_id: UUID) -> Readiness:
    rules = usable_rules(await queries.rules_of(connection, org_id))
    return Readiness(rules, await gathered_of(connection, org_id))
