"""Putting a compiled org into Redis so that every reader finds all of it, and reading back what stands there."""

from collections.abc import Awaitable, Mapping
from typing import Any, Literal, NamedTuple, cast
from uuid import UUID

from redis.asyncio import Redis

from compiler.compile import Compiled
from wire import keys
from wire.bundle import Bundle, Manifest, org_change, sha_of
from wire.codec import DecodeError

UNREFERENCED_S = 600
"""How long a bundle lasts that no manifest names: long enough for an edge that read the manifest before."""

_ATTEMPTS = 3

# KEYS: manifest, revisions, changes, sequence. ARGV: org, version, manifest, prefix of bundle keys, seconds that an
# unreferenced bundle lasts, longest stream, number of shas, the shas, then the fields of the announcement.
# Bundle keys are made up from the shas, old ones of the standing manifest's: this is for one Redis, not a cluster.
_PUBLISH = """
local org, version, manifest, prefix, last_s, longest = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local first, last = 8, 7 + tonumber(ARGV[7])

local function numbers(text)
    local generation, epoch, revision = string.match(text, '^(%d+)%.(%d+)%.(%d+)$')
    return {tonumber(generation), tonumber(epoch), tonumber(revision)}
end
local standing = redis.call('HGET', KEYS[2], org)
if standing and string.match(standing, '^%d+%.%d+%.%d+$') then
    local ours, theirs, newer = numbers(version), numbers(standing), false
    for place = 1, 3 do
        if ours[place] ~= theirs[place] then newer = ours[place] > theirs[place] break end
    end
    if not newer then return {'stale', standing} end
end

local missing, named = {'missing'}, {}
for place = first, last do
    local sha = ARGV[place]
    named[sha] = true
    if redis.call('EXISTS', prefix .. sha) == 0 then table.insert(missing, sha) end
end
if #missing > 1 then return missing end

local old = redis.call('GET', KEYS[1])
local readable, before = pcall(cmsgpack.unpack, old or '')
if readable and type(before) == 'table' and type(before.bundles) == 'table' then
    for _, sha in pairs(before.bundles) do
        if not named[sha] then redis.call('EXPIRE', prefix .. sha, last_s) end
    end
end
for sha in pairs(named) do redis.call('PERSIST', prefix .. sha) end
redis.call('SET', KEYS[1], manifest)
redis.call('HSET', KEYS[2], org, version)
local seq = redis.call('INCR', KEYS[4])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', longest, '*', 'seq', seq, unpack(ARGV, last + 1))
return {'published'}
"""


class Published(NamedTuple):
    """`stale`: the manifest that stands, of `standing`, is as new or newer, and nothing was changed."""

    outcome: Literal["published", "stale"]
    standing: str


class PublishError(Exception):
    """The bundles vanish from Redis as fast as they are written."""


class UnreadableOrgError(Exception):
    """What Redis holds of an org is not what an edge could load; the message says what is wrong with it."""


async def publish(redis: Redis, org_id: UUID, compiled: Compiled) -> Published:
    """Moves the org's manifest in one step, unless the one that stands is as new. Raises PublishError.

    A bundle is written before the manifest that names it, to expire by itself; being named makes it stay.
    """
    for _ in range(_ATTEMPTS):
        answer, *details = await _move(redis, org_id, compiled)
        if answer == "published":
            return Published("published", str(compiled.manifest.version))
        if answer == "stale":
            return Published("stale", details[0])
        await _write_bundles(redis, org_id, {sha: compiled.bundles[sha] for sha in details})
    raise PublishError(f"{len(details)} bundles were gone as soon as they were written")


async def read_org(redis: Redis, org_id: UUID) -> tuple[Manifest, dict[str, Bundle]]:
    """What an edge would load now: the manifest, and its bundles by audience id. Raises UnreadableOrgError."""
    data = cast(bytes | None, await redis.get(keys.manifest(org_id)))
    if data is None:
        raise UnreadableOrgError(f"nothing is published for org {org_id}")
    try:
        manifest = Manifest.decode(data)
        names = [keys.bundle(org_id, sha) for sha in manifest.bundles.values()]
        found = cast(list[bytes | None], await redis.mget(names)) if names else []
        bundles = {
            audience_id: _bundle(sha, data)
            for (audience_id, sha), data in zip(manifest.bundles.items(), found, strict=True)
        }
    except DecodeError as error:
        raise UnreadableOrgError(f"org {org_id}: {error}") from error
    return manifest, bundles


def _bundle(sha: str, data: bytes | None) -> Bundle:
    if data is None:
        raise DecodeError(f"bundle {sha} is missing")
    if sha_of(data) != sha:
        raise DecodeError(f"bundle {sha} holds other bytes")
    return Bundle.decode(data)


async def _move(redis: Redis, org_id: UUID, compiled: Compiled) -> list[str]:
    manifest = compiled.manifest
    announcement = org_change(org_id, manifest.version)
    names = [keys.manifest(org_id), keys.REVISIONS, keys.CHANGES, keys.CHANGES_SEQUENCE]
    arguments: list[Any] = [
        str(org_id),
        str(manifest.version),
        manifest.encode(),
        keys.bundle(org_id, ""),
        UNREFERENCED_S,
        keys.CHANGES_MAX_LENGTH,
        len(compiled.bundles),
        *compiled.bundles,
        *(word for field in announcement.items() for word in field),
    ]
    answer = await cast(Awaitable[list[bytes]], redis.eval(_PUBLISH, len(names), *names, *arguments))
    return [part.decode() for part in answer]


async def _write_bundles(redis: Redis, org_id: UUID, bundles: Mapping[str, bytes]) -> None:
    async with redis.pipeline(transaction=False) as pipeline:
        for sha, data in bundles.items():
            pipeline.set(keys.bundle(org_id, sha), data, nx=True, ex=UNREFERENCED_S)
        await pipeline.execute()
