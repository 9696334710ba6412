"""Gathering the past of features: rings made anew from `events`, a chunk of customers at a time.

A chunk's rings are replaced, never added to, and the cursor moves on only once they are in Redis. So a chunk that is
done again, by whomever, has the same result. Events that are stored meanwhile are in the rings wherever the cursor is:
the features were adopted before (`recorder.features.lock`). Nor can what a visitor did slip past the cursor with a
claim: in the order of subjects all visitors come before all users, and a chunk is looked at again once it is locked.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    and_,
    func,
    literal,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.features import lock as feature_lock
from recorder.features import rings
from recorder.features.rings import Moments, RingKey
from recorder.rows import customers
from recorder.rows.customers import CustomerKey
from store import outbox, tables
from store.features import mark_preparing
from store.orgs import lock_org
from store.rule_sql import feature_condition
from store.tables import event_features, events
from wire.features import Feature

FEATURES_AT_ONCE = 25
"""In one pass: each takes a query a chunk, while the chunk's customers are locked."""

_c = event_features.c


@dataclass(frozen=True, slots=True)
class Pass:
    """One way through an org's customers, for features that are equally far: gathered up to the subject `after`."""

    org_id: UUID
    features: tuple[Feature, ...]
    pass_ids: tuple[int, ...]
    after: str | None
    done: int
    total: int

    @property
    def feature_ids(self) -> list[str]:
        return [feature.id for feature in self.features]

    @property
    def stands(self) -> ColumnElement[bool]:
        """Which rows of `event_features` it is about; none that somebody else has moved on or begun anew."""
        numbered = tuple_(_c.id, _c.pass_id).in_(zip(self.feature_ids, self.pass_ids, strict=True))
        return and_(_c.org_id == self.org_id, numbered, _c.after.is_not_distinct_from(self.after))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Customers whose rings are gathered, up to `last`. `ended`: nobody comes after them."""

    customers: int
    last: str | None
    ended: bool
    to_project: frozenset[CustomerKey]


_LOCK_NEXT = text(
    """
    SELECT subject FROM customers
    WHERE org_id = :org_id AND (CAST(:after AS text) IS NULL OR subject > CAST(:after AS text))
    ORDER BY subject
    LIMIT :size
    FOR UPDATE
    """
)

_PLANNING = text("SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true)")
"""Plans are made for this chunk: those made when an org was small read all of its events."""


async def next_pass(connection: AsyncConnection, org_id: UUID) -> Pass | None:
    """The one that is furthest, so that features which come all the time cannot keep each other from their end.

    Raises ValueError or TypeError when another version has written the features.
    """
    gathering = select(event_features).where(_c.org_id == org_id, _c.ready < _c.kept).order_by(_c.id)
    rows = (await connection.execute(gathering)).all()
    if not rows:
        return None
    after = max((row.after for row in rows if row.after is not None), default=None)
    mine = [row for row in rows if row.after == after][:FEATURES_AT_ONCE]
    return Pass(
        org_id,
        tuple(Feature.from_fields([row.event, row.where, row.kept]) for row in mine),
        tuple(row.pass_id for row in mine),
        after,
        mine[0].done,
        mine[0].total,
    )


async def expect(connection: AsyncConnection, begun: Pass) -> int:
    """Notes how many customers there are to do, for the progress; returns it."""
    everybody = select(func.count()).where(tables.customers.c.org_id == begun.org_id).scalar_subquery()
    noted = update(event_features).where(begun.stands).values(total=everybody).returning(_c.total)
    return max((await connection.execute(noted)).scalars(), default=0)


async def gather_chunk(connection: AsyncConnection, begun: Pass, size: int) -> Chunk | None:
    """Makes the rings of the next `size` customers; None when somebody else has moved the cursor meanwhile."""
    await feature_lock.share(connection, [begun.org_id])
    standing = (await connection.execute(select(func.count()).where(begun.stands))).scalar_one()
    if standing < len(begun.features):
        return None
    subjects = await _lock_next(connection, begun, size)
    made = await made_rings(connection, begun.org_id, subjects, begun.features)
    owners = [CustomerKey(begun.org_id, subject) for subject in subjects]
    changed = await rings.replace(connection, owners, begun.feature_ids, made)
    await customers.draw_revs(connection, changed)
    return Chunk(
        customers=len(subjects),
        last=subjects[-1] if subjects else begun.after,
        ended=len(subjects) < size,
        # Also those whose rings were so already: a recorder that died may not have projected them.
        to_project=frozenset(changed | {key.owner for key in made}),
    )


async def _lock_next(connection: AsyncConnection, begun: Pass, size: int) -> list[str]:
    """Looks again until nobody new is among them.

    While it waits for a visitor, a claim may make the visitor's past that of a user who was not there when it began to
    look. Once the visitors are locked nothing of theirs can move.
    """
    place = {"org_id": begun.org_id, "after": begun.after, "size": size}
    subjects: list[str] | None = None
    while (found := list((await connection.execute(_LOCK_NEXT, place)).scalars())) != subjects:
        subjects = found
    return found


async def move_on(connection: AsyncConnection, begun: Pass, chunk: Chunk) -> None:
    """Call it when the chunk is in Redis."""
    further = update(event_features).where(begun.stands)
    await connection.execute(further.values(after=chunk.last, done=_c.done + chunk.customers))


async def end(connection: AsyncConnection, begun: Pass, now_ms: int) -> list[UUID] | None:
    """Call it when the last chunk is in Redis: what is kept is ready, and so are the audiences that it returns.

    None when somebody else has moved the cursor meanwhile.
    """
    await lock_org(connection, begun.org_id)
    ready = update(event_features).where(begun.stands).values(ready=_c.kept, after=None, done=0, total=0)
    if not (await connection.execute(ready.returning(_c.id))).all():
        return None
    audience_ids = await mark_preparing(connection, begun.org_id)
    await outbox.announce(connection, begun.org_id, now_ms)
    return audience_ids


async def made_rings(
    connection: AsyncConnection, org_id: UUID, subjects: Collection[str], features: Iterable[Feature]
) -> Moments:
    """What is stored of customers' events, as rings."""
    await connection.execute(_PLANNING)
    made: dict[RingKey, list[int]] = {}
    for feature in features:
        for subject, recent_ms in await connection.execute(_rings_of(org_id, subjects, feature)):
            if recent_ms:
                made[RingKey(org_id, subject, feature.id)] = list(recent_ms)
    return made


def _rings_of(org_id: UUID, subjects: Collection[str], feature: Feature) -> Select[Any]:
    asked = func.unnest(literal(list(subjects), ARRAY(Text))).table_valued("subject").render_derived("asked")
    counted = (
        select(events.c.occurred_ms)
        .where(events.c.org_id == org_id, events.c.subject == asked.c.subject, feature_condition(feature))
        .order_by(events.c.occurred_ms.desc())
        .limit(feature.kept)
        .correlate(asked)
    )
    return select(asked.c.subject, func.array(counted.scalar_subquery(), type_=ARRAY(BigInteger)))
