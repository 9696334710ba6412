"""Rows of `event_rings`: the moments of each customer's newest events of each feature."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.features.watched import Watched
from recorder.rows.customers import CustomerKey, array_literal, key_arrays
from recorder.rows.event_rows import Owned
from recorder.rows.properties import Properties


class RingKey(NamedTuple):
    org_id: UUID
    subject: str
    feature_id: str

    @property
    def owner(self) -> CustomerKey:
        return CustomerKey(self.org_id, self.subject)


Moments = Mapping[RingKey, Collection[int]]
WatchedByOrg = Mapping[UUID, Watched]

_ADD = text(
    """
    INSERT INTO event_rings AS ring (org_id, subject, feature_id, recent_ms)
    SELECT org_id, subject, feature_id, CAST(recent_ms AS bigint[])
    FROM unnest(
        CAST(:org_ids AS uuid[]), CAST(:subjects AS text[]), CAST(:feature_ids AS text[]), CAST(:recent_ms AS text[])
    ) AS added (org_id, subject, feature_id, recent_ms)
    ON CONFLICT (org_id, subject, feature_id) DO UPDATE SET
        recent_ms = ARRAY(
            SELECT moment_ms FROM unnest(ring.recent_ms || excluded.recent_ms) AS moments (moment_ms)
            ORDER BY moment_ms DESC
            LIMIT (SELECT kept FROM event_features WHERE org_id = ring.org_id AND id = ring.feature_id)
        )
    WHERE
        ring.recent_ms[cardinality(ring.recent_ms)] < excluded.recent_ms[1]
        OR cardinality(ring.recent_ms)
            < (SELECT kept FROM event_features WHERE org_id = ring.org_id AND id = ring.feature_id)
    RETURNING org_id, subject
    """
)

_TAKE = text(
    """
    DELETE FROM event_rings AS rings
    USING unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)
    WHERE rings.org_id = asked.org_id AND rings.subject = asked.subject
    RETURNING rings.*
    """
)

_READ = text(
    """
    SELECT rings.org_id, rings.subject, feature_id, recent_ms
    FROM unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)
    CROSS JOIN LATERAL (
        SELECT * FROM event_rings WHERE org_id = asked.org_id AND subject = asked.subject OFFSET 0
    ) AS rings
    """
)
"""OFFSET keeps it one look-up a customer: while the table fills faster than it is analyzed, a join, or a condition on
features, reads all rings of the org."""

_PUT = text(
    """
    INSERT INTO event_rings (org_id, subject, feature_id, recent_ms)
    SELECT org_id, subject, feature_id, CAST(recent_ms AS bigint[])
    FROM unnest(
        CAST(:org_ids AS uuid[]), CAST(:subjects AS text[]), CAST(:feature_ids AS text[]), CAST(:recent_ms AS text[])
    ) AS made (org_id, subject, feature_id, recent_ms)
    ON CONFLICT (org_id, subject, feature_id) DO UPDATE SET recent_ms = excluded.recent_ms
    """
)

_DELETE = text(
    """
    DELETE FROM event_rings AS rings
    USING unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[]), CAST(:feature_ids AS text[]))
        AS asked (org_id, subject, feature_id)
    WHERE rings.org_id = asked.org_id AND rings.subject = asked.subject AND rings.feature_id = asked.feature_id
    """
)


def moments_of(owned: Iterable[Owned], watched: WatchedByOrg, properties: Properties) -> Moments:
    """When events of features happened, to whom."""
    happened: defaultdict[RingKey, list[int]] = defaultdict(list)
    for owner, event in owned:
        if theirs := watched.get(owner.org_id):
            for feature_id in theirs.of(event, properties):
                happened[RingKey(*owner, feature_id)].append(event.occurred_ms)
    return happened


async def add(connection: AsyncConnection, happened: Moments, watched: WatchedByOrg) -> set[CustomerKey]:
    """Adds moments, of customers that the transaction holds; returns those whose rings this changes.

    A ring keeps as many as its feature does. Moments of features that nobody keeps are left out.
    """
    newest = {
        key: recent_ms
        for key, moments in happened.items()
        if (theirs := watched.get(key.org_id)) and (recent_ms := _newest(moments, theirs.kept.get(key.feature_id, 0)))
    }
    if not newest:
        return set()
    rows = await connection.execute(_ADD, _columns(dict(sorted(newest.items(), key=_place))))
    return {CustomerKey(org_id, subject) for org_id, subject in rows}


async def move(connection: AsyncConnection, claims: Mapping[CustomerKey, CustomerKey], watched: WatchedByOrg) -> None:
    """Adds the moments of each key to those of its value."""
    moved: defaultdict[RingKey, list[int]] = defaultdict(list)
    for row in await connection.execute(_TAKE, key_arrays(claims)):
        owner = claims[CustomerKey(row.org_id, row.subject)]
        moved[RingKey(*owner, row.feature_id)] += row.recent_ms
    await add(connection, moved, watched)


async def drop(connection: AsyncConnection, key: CustomerKey) -> None:
    """Forgets all moments of a customer."""
    await connection.execute(_TAKE, key_arrays([key]))


async def replace(
    connection: AsyncConnection, owners: Collection[CustomerKey], feature_ids: Collection[str], made: Moments
) -> set[CustomerKey]:
    """Makes `made` all that there is of these features for these customers; returns those whom this changes."""
    held = {
        RingKey(row.org_id, row.subject, row.feature_id): list(row.recent_ms)
        for row in await connection.execute(_READ, key_arrays(owners))
        if row.feature_id in feature_ids
    }
    changed = {key: recent_ms for key, recent_ms in made.items() if held.get(key) != recent_ms}
    gone = held.keys() - made.keys()
    if changed:
        await connection.execute(_PUT, _columns(changed))
    if gone:
        await connection.execute(_DELETE, _key_columns(gone))
    return {key.owner for key in (*changed, *gone)}


def _place(ring: tuple[RingKey, Collection[int]]) -> tuple[str, str]:
    """Neighbours in the index are quicker to reach one after the other."""
    return ring[0].subject, ring[0].feature_id


def _newest(moments_ms: Iterable[int], kept: int) -> list[int]:
    return sorted(moments_ms, reverse=True)[:kept]


def _columns(rings: Moments) -> dict[str, Any]:
    return _key_columns(rings) | {"recent_ms": [array_literal(ring) for ring in rings.values()]}


def _key_columns(keys: Iterable[RingKey]) -> dict[str, Any]:
    listed = list(keys)
    return key_arrays(key.owner for key in listed) | {"feature_ids": [key.feature_id for key in listed]}
