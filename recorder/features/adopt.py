"""Which features an org's recorders keep: what the rules of its audiences ask for, within bounds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.features import features_of
from recorder.features import lock as feature_lock
from store import outbox
from store.audiences import read_audiences
from store.features import mark_preparing
from store.orgs import lock_org
from store.tables import event_features
from store.tables import outbox as outbox_rows
from wire.features import MOST_FEATURES, MOST_MOMENTS, Feature

_RINGS_AT_ONCE = 5_000

_REMOVE_RINGS = text(
    """
    DELETE FROM event_rings
    WHERE ctid = ANY(ARRAY(
        SELECT rings.ctid
        FROM event_features AS dropped
        JOIN event_rings AS rings ON rings.org_id = dropped.org_id AND rings.feature_id = dropped.id
        WHERE dropped.org_id = :org_id AND dropped.kept = 0
        LIMIT :at_once
    ))
    """
)

_REMOVE_FEATURES = text(
    """
    DELETE FROM event_features AS dropped
    WHERE org_id = :org_id AND kept = 0 AND NOT EXISTS (
        SELECT FROM event_rings AS rings WHERE rings.org_id = dropped.org_id AND rings.feature_id = dropped.id
    )
    """
)

_c = event_features.c


class Changes(NamedTuple):
    """`begun`: adopted or raised, to be gathered from the start. `refused`: ids of those past the bounds."""

    begun: tuple[Feature, ...] = ()
    lowered: tuple[Feature, ...] = ()
    dropped: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        return bool(self.begun or self.lowered or self.dropped)

    @property
    def counts(self) -> dict[str, int]:
        return {"begun": len(self.begun), "lowered": len(self.lowered), "dropped": len(self.dropped)}


@dataclass(frozen=True, slots=True)
class Asked:
    """`wanted` by id; `kept`: how many moments each feature keeps now; `may_let_go`: less is enough for everybody."""

    wanted: Mapping[str, Feature]
    kept: Mapping[str, int]
    may_let_go: bool


async def read_asked(connection: AsyncConnection, org_id: UUID) -> Asked:
    """What is published may still need what no rule asks for; nor is it known what an unreadable rule asks."""
    stored = await read_audiences(connection, org_id)
    kept = select(_c.id, _c.kept).where(_c.org_id == org_id, _c.kept > 0)
    unpublished = select(exists().where(outbox_rows.c.org_id == org_id))
    return Asked(
        features_of(stored.rules.values()),
        {row.id: row.kept for row in await connection.execute(kept)},
        may_let_go=not stored.unreadable and not (await connection.execute(unpublished)).scalar_one(),
    )


def changes(asked: Asked) -> Changes:
    granted, refused = _granted(asked)
    held = asked.kept
    lower = tuple(feature for feature in granted if feature.kept < held.get(feature.id, 0))
    return Changes(
        begun=tuple(feature for feature in granted if feature.kept > held.get(feature.id, 0)),
        lowered=lower if asked.may_let_go else (),
        dropped=tuple(sorted(held.keys() - asked.wanted.keys())) if asked.may_let_go else (),
        refused=refused,
    )


def _granted(asked: Asked) -> tuple[list[Feature], tuple[str, ...]]:
    """Those that are kept already come first, then the order of ids: who has a place does not lose it."""
    granted: dict[str, Feature] = {}
    refused: list[str] = []
    moments = sum(min(asked.kept.get(id_, 0), feature.kept) for id_, feature in asked.wanted.items())
    room = MOST_FEATURES - len(asked.wanted.keys() & asked.kept.keys())
    for id_, feature in sorted(asked.wanted.items()):
        held = asked.kept.get(id_, 0)
        more = max(feature.kept - held, 0)
        if moments + more > MOST_MOMENTS or (not held and not room):
            refused.append(id_)
            continue
        moments += more
        room -= not held
        granted[id_] = feature
    return list(granted.values()), tuple(refused)


async def adopt(connection: AsyncConnection, org_id: UUID, now_ms: int) -> Changes:
    """Makes `event_features` what the rules ask for. What is to be gathered may be from the commit on."""
    await lock_org(connection, org_id)
    made = changes(await read_asked(connection, org_id))
    if not made.any:
        return made
    await feature_lock.take_alone(connection, org_id)
    await _begin(connection, org_id, made.begun, now_ms)
    for feature in made.lowered:
        await _keep(connection, org_id, feature.id, feature.kept)
    for feature_id in made.dropped:
        await _keep(connection, org_id, feature_id, 0)
    if await mark_preparing(connection, org_id):
        await outbox.announce(connection, org_id, now_ms)
    return made


async def _begin(connection: AsyncConnection, org_id: UUID, features: Iterable[Feature], now_ms: int) -> None:
    """`ready` stays: as many moments as before are there for certain."""
    for feature in features:
        event, where, kept = feature.fields()
        asked = {"event": event, "where": where, "kept": kept}
        anew = {"after": None, "done": 0, "total": 0, "pass_id": func.nextval(text("'customer_rev'"))}
        row = insert(event_features).values(org_id=org_id, id=feature.id, created_ms=now_ms, **asked, **anew)
        await connection.execute(row.on_conflict_do_update(index_elements=[_c.org_id, _c.id], set_=asked | anew))


async def _keep(connection: AsyncConnection, org_id: UUID, feature_id: str, kept: int) -> None:
    """Fewer moments; none: its rings may go."""
    mine = update(event_features).where(_c.org_id == org_id, _c.id == feature_id)
    await connection.execute(mine.values(kept=kept, ready=func.least(_c.ready, kept)))


async def remove_dropped(connection: AsyncConnection, org_id: UUID) -> int:
    """Removes some rings of dropped features, at last the features; returns how many rings.

    States need not be told: nobody reads what their rings say of such a feature, and a feature that is adopted again
    is gathered again.
    """
    await feature_lock.share(connection, [org_id])
    removed = await connection.execute(_REMOVE_RINGS, {"org_id": org_id, "at_once": _RINGS_AT_ONCE})
    await connection.execute(_REMOVE_FEATURES, {"org_id": org_id})
    return removed.rowcount
