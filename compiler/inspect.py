"""Whether what is published is still there as it was written: bytes in Redis can go bad, or be written over."""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, cast
from uuid import UUID

from redis.asyncio import Redis

from wire import keys
from wire.bundle import Manifest, Version, sha_of
from wire.codec import DecodeError

EVERY_S = 5.0
"""From one round to the next."""

_ROUND_ORGS = 50
_ROUND_BYTES = 5_000_000
"""In a round, taken over many of them: a second's megabyte is nothing to Redis, nor is hashing it to us."""
_AT_ONCE = 16
"""Bundles in one call."""


class Damage(NamedTuple):
    org_id: UUID
    reason: str


class Inspector:
    """Goes round the orgs, a few in each round."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._last: UUID | None = None
        self._owed_bytes = 0

    async def round(self, published: Mapping[UUID, Version]) -> list[Damage]:
        """Those of the next orgs that an edge could not load. `published`: the least version that should stand."""
        self._owed_bytes = max(0, self._owed_bytes - _ROUND_BYTES)
        due = list(islice(self._in_turn(published), _ROUND_ORGS)) if self._owed_bytes < _ROUND_BYTES else []
        damaged = []
        for org_id, (told, manifest) in (await self._read_manifests(due)).items():
            if self._owed_bytes >= _ROUND_BYTES:
                break
            reason = await self._flaw(org_id, told, manifest, published[org_id])
            if reason is not None:
                damaged.append(Damage(org_id, reason))
            self._last = org_id
        return damaged

    def _in_turn(self, published: Mapping[UUID, Version]) -> Iterator[UUID]:
        """From the one after the last one on, and around."""
        ordered = sorted(published)
        last = self._last
        yield from (org_id for org_id in ordered if last is None or org_id > last)
        yield from (org_id for org_id in ordered if last is not None and org_id <= last)

    async def _read_manifests(self, org_ids: Sequence[UUID]) -> dict[UUID, tuple[bytes | None, bytes | None]]:
        """What `revisions` tells of each org, and its manifest, as of one moment."""
        if not org_ids:
            return {}
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hmget(keys.REVISIONS, [str(org_id) for org_id in org_ids])
            pipeline.mget([keys.manifest(org_id) for org_id in org_ids])
            told, manifests = await pipeline.execute()
        return dict(zip(org_ids, zip(told, manifests, strict=True), strict=True))

    async def _flaw(self, org_id: UUID, told: bytes | None, data: bytes | None, least: Version) -> str | None:
        if data is None:
            return "no manifest"
        self._owed_bytes += len(data)
        try:
            manifest = Manifest.decode(data)
            if str(manifest.version).encode() != told or manifest.version < least:
                return f"the manifest is {manifest.version}"
            return await self._bundle_flaw(org_id, sorted(set(manifest.bundles.values())))
        except DecodeError as error:
            return str(error)
        except (TypeError, AttributeError) as error:  # a manifest's fields may be of any type
            return f"not a manifest: {type(error).__name__}"

    async def _bundle_flaw(self, org_id: UUID, shas: Sequence[str]) -> str | None:
        for start in range(0, len(shas), _AT_ONCE):
            some = shas[start : start + _AT_ONCE]
            found = await cast(
                Awaitable[list[bytes | None]], self._redis.mget([keys.bundle(org_id, sha) for sha in some])
            )
            self._owed_bytes += sum(len(data) for data in found if data is not None)
            wrong = await asyncio.to_thread(_wrong, dict(zip(some, found, strict=True)))
            if wrong:
                return f"bundle {wrong[0]} is missing or holds other bytes"
        return None


def _wrong(bundles: Mapping[str, Any]) -> list[str]:
    return [sha for sha, data in bundles.items() if data is None or sha_of(data) != sha]
