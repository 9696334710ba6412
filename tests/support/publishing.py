"""Puts manifests, bundles and user states into Redis as the compiler and the recorder do, without Postgres."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

from redis.asyncio import Redis

from engine.features import features_of
from wire import apikeys, codec, keys
from wire.bundle import EVERYONE, Bundle, CompiledMessage, FrequencyCap, Manifest, Settings, Version, org_change, sha_of
from wire.events import EventBatch
from wire.features import Feature
from wire.rules import parse_rule
from wire.userstate import Marker, UserState


def message(
    content: str = "Hello",
    *,
    id_: str | None = None,
    version: int = 1,
    priority: int = 50,
    slot: str = "banner:top",
    created_ms: int = 0,
    starts_ms: int | None = None,
    ends_ms: int | None = None,
    trigger: Mapping[str, Any] | None = None,
    cap: FrequencyCap | None = None,
    exclude: Sequence[str] = (),
) -> CompiledMessage:
    id_ = id_ or str(uuid4())
    body = {"id": id_, "version": version, "type": "banner", "slot": slot, "content": {"body": content}}
    return CompiledMessage(
        id_, version, "banner", slot, priority, created_ms, tuple(exclude), starts_ms, ends_ms, trigger, cap,
        json.dumps(body).encode(),
    )  # fmt: skip


ONCE = FrequencyCap(max_impressions=1, per_s=None, min_interval_s=None, stop_after=())


@dataclass
class Publisher:
    """An org of a test's own: `bundles` is what the next `publish` brings out."""

    redis: Redis
    org_id: UUID = field(default_factory=uuid4)
    bundles: dict[str, Bundle] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    revision: int = 0

    def __post_init__(self) -> None:
        self.key = apikeys.mint("pk", "prod", self.org_id)
        self.secret_key = apikeys.mint("sk", "prod", self.org_id)
        self.live_keys = [self.key]

    def everyone(self, *messages: CompiledMessage) -> None:
        self.bundles[EVERYONE] = Bundle(EVERYONE, None, messages)

    def audience(self, rule: Mapping[str, Any] | None, *messages: CompiledMessage) -> str:
        audience_id = str(uuid4())
        self.bundles[audience_id] = Bundle(audience_id, rule, messages)
        return audience_id

    def manifest(self) -> Manifest:
        return Manifest(
            Version(0, 1, self.revision),
            sum(len(bundle.messages) for bundle in self.bundles.values()),
            {audience_id: sha_of(bundle.encode()) for audience_id, bundle in self.bundles.items()},
            frozenset(map(apikeys.digest, self.live_keys)),
            self.features(),
            self.settings,
        )

    def features(self) -> tuple[Feature, ...]:
        """What the bundles' rules ask of user states."""
        rules = [parse_rule(bundle.rule) for bundle in self.bundles.values() if bundle.rule is not None]
        return tuple(features_of(rules).values())

    async def publish(self, *, announce: bool = True) -> Manifest:
        self.revision += 1
        manifest = self.manifest()
        for bundle in self.bundles.values():
            data = bundle.encode()
            await self.redis.set(keys.bundle(self.org_id, sha_of(data)), data)
        await self.put_manifest(manifest.encode(), manifest.version, announce=announce)
        return manifest

    async def put_manifest(self, data: bytes, version: Version, *, announce: bool = True) -> None:
        await self.redis.set(keys.manifest(self.org_id), data)
        await self.redis.hset(keys.REVISIONS, str(self.org_id), str(version))
        if announce:
            await self.announce(org_change(self.org_id, version))

    async def announce(self, fields: Mapping[Any, Any]) -> None:
        sequence = await self.redis.incr(keys.CHANGES_SEQUENCE)
        await self.redis.xadd(keys.CHANGES, {"seq": sequence, **fields})

    async def mark_projected(self, run_id: str | None = None) -> None:
        run_id = run_id or (await self.redis.info("server"))["run_id"]
        await self.redis.set(keys.user_states(self.org_id), Marker(run_id, 0).encode())

    async def project(self, subject: str, state: UserState, *, announce: bool = True) -> None:
        await self.redis.set(keys.user(self.org_id, subject), state.encode())
        if announce:
            body = codec.pack([[subject, state.rev]])
            await self.announce({"kind": "users", "org": str(self.org_id), "body": body})

    def body(self, **fields: Any) -> dict[str, Any]:
        return {"apiKey": self.key, **fields}


Entries = list[tuple[bytes, dict[bytes, bytes]]]


async def entries(redis: Redis, stream: str) -> Entries:
    found: Any = await redis.xrange(stream)
    return list(found)


async def shipped(redis: Redis) -> list[EventBatch]:
    """Every batch that is in an event stream."""
    streams = [await entries(redis, keys.events(shard)) for shard in range(keys.EVENT_SHARDS)]
    return [EventBatch.decode(fields[b"body"]) for stream in streams for _, fields in stream]


async def commit(redis: Redis, spool: UUID) -> list[EventBatch]:
    """What the recorder does once a spool's batches are in Postgres: marks them, then empties the stream."""
    stream = keys.events(keys.event_shard(spool))
    batches = []
    for id_, fields in await entries(redis, stream):
        batch = EventBatch.decode(fields[b"body"])
        if batch.spool == spool:
            await redis.sadd(keys.committed(spool), batch.number)
            await redis.xdel(stream, id_)
            batches.append(batch)
    return batches


def rule(trait: str, value: Any) -> dict[str, Any]:
    return {"trait": trait, "op": "eq", "value": value}


def happened(event: str, op: str = "gte", count: int = 1, within: str | None = None, **where: Any) -> dict[str, Any]:
    """A condition on events whose properties are as `where` says."""
    conditions = [{"property": name, "op": "eq", "value": value} for name, value in where.items()]
    leaf = {"event": event, "where": conditions, "count": {"op": op, "value": count}}
    return leaf if within is None else {**leaf, "within": within}


def ring_id(leaf: Mapping[str, Any]) -> str:
    """The key in `UserState.rings` of the moments that a condition counts."""
    (feature_id,) = features_of([parse_rule(leaf)])
    return feature_id


def newer(state: UserState, **changes: Any) -> UserState:
    return replace(state, rev=state.rev + 1, **changes)
