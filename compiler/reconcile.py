"""What stands against what should stand: which orgs have to be compiled, whatever notification or timer was lost."""

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from redis.asyncio import Redis
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from store.tables import orgs, outbox
from wire import keys
from wire.bundle import Version
from wire.codec import DecodeError


@dataclass(frozen=True, slots=True)
class Standing:
    """What this compiler published last for an org. `changes_ms`: when its next message starts or ends."""

    version: Version
    changes_ms: int | None


@dataclass(frozen=True, slots=True)
class State:
    """`waiting`: org → created_ms of its oldest outbox row. `published`: orgs with a manifest, and which."""

    orgs: tuple[UUID, ...]
    waiting: Mapping[UUID, int]
    published: Mapping[UUID, Version]


async def read_state(postgres: AsyncEngine, redis: Redis) -> State:
    async with postgres.connect() as connection:
        ids = (await connection.execute(select(orgs.c.id).order_by(orgs.c.id))).scalars().all()
        oldest = select(outbox.c.org_id, func.min(outbox.c.created_ms).label("oldest_ms")).group_by(outbox.c.org_id)
        waiting = {row.org_id: row.oldest_ms for row in await connection.execute(oldest)}
    return State(tuple(ids), waiting, await _published(redis, ids))


def overdue(state: State, standing: Mapping[UUID, Standing], now_ms: int) -> Iterator[UUID]:
    """Orgs that have to be compiled, those with changes first. `standing`: what this compiler knows of."""
    yield from state.waiting
    for org_id in state.orgs:
        if org_id not in state.waiting and _is_overdue(standing.get(org_id), state.published.get(org_id), now_ms):
            yield org_id


def _is_overdue(standing: Standing | None, published: Version | None, now_ms: int) -> bool:
    """An org that this compiler has not compiled yet is overdue: an older one may have made other bundles of it."""
    if standing is None or published is None or published < standing.version:
        return True
    return standing.changes_ms is not None and standing.changes_ms <= now_ms


async def _published(redis: Redis, org_ids: Sequence[UUID]) -> dict[UUID, Version]:
    if not org_ids:
        return {}
    revisions = await cast(
        Awaitable[list[bytes | None]], redis.hmget(keys.REVISIONS, [str(org_id) for org_id in org_ids])
    )
    there = await _with_manifest(redis, org_ids)
    versions = {org_id: _version(revision) for org_id, revision in zip(org_ids, revisions, strict=True)}
    return {org_id: version for org_id, version in versions.items() if version is not None and org_id in there}


async def _with_manifest(redis: Redis, org_ids: Sequence[UUID]) -> set[UUID]:
    """One question as long as none is missing, which is nearly always."""
    names = [keys.manifest(org_id) for org_id in org_ids]
    if await redis.exists(*names) == len(names):
        return set(org_ids)
    async with redis.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.exists(name)
        answers = await pipeline.execute()
    return {org_id for org_id, exists in zip(org_ids, answers, strict=True) if exists}


def _version(text: bytes | None) -> Version | None:
    try:
        return None if text is None else Version.parse(text.decode())
    except (DecodeError, UnicodeDecodeError):
        return None
