"""Putting a compiled org into Redis so that every reader finds all of it, and reading back what stands there."""

from collections.abc import Awaitable, Mapping
from typing import Any, Literal, NamedTuple, cast
from uuid import UUID

from redis.asyncio import Redis

from compiler.compile import Compiled
from wire import keys
from wire.bundle import Bundle, Manifest, Version, org_change
from wire.codec import DecodeError

UNREFERENCED_S = 600
"""How long a bundle lasts that no manifest names: long enough for an edge that read the manifest before."""

_ATTEMPTS = 10

# KEYS: manifest, revisions, changes, sequence. ARGV: org, what `revisions` held when the retired bundles were listed,
# version, manifest, prefix of bundle keys, seconds that an unreferenced bundle lasts, longest stream, number of shas,
# number of retired shas, the shas, the retired shas, the fields of the announcement.
# Bundle keys are made up from shas in here: this is for one Redis, not for a cluster.
_PUBLISH = """
local org, expected, version, manifest, prefix = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local last_s, longest = ARGV[6], ARGV[7]
local first_retired = 10 + tonumber(ARGV[8])
local first_field = first_retired + tonumber(ARGV[9])

local function numbers(text)
    local generation, epoch, revision = string.match(text, '^(%d+)%.(%d+)%.(%d+)$')
    return generation and {tonumber(generation), tonumber(epoch), tonumber(revision)}
end
local function is_newer(ours, theirs)
    for place = 1, 3 do
        if ours[place] ~= theirs[place] then return ours[place] > theirs[place] end
    end
    return false
end
local standing = redis.call('HGET', KEYS[2], org) or ''
local theirs = numbers(standing)
if theirs and not is_newer(numbers(version), theirs) then return {'stale', standing} end
if standing ~= expected then return {'moved'} end

local missing = {'missing'}
for place = 10, first_retired - 1 do
    if redis.call('EXISTS', prefix .. ARGV[place]) == 0 then table.insert(missing, ARGV[place]) end
end
if #missing > 1 then return missing end

for place = 10, first_retired - 1 do redis.call('PERSIST', prefix .. ARGV[place]) end
for place = first_retired, first_field - 1 do redis.call('EXPIRE', prefix .. ARGV[place], last_s) end
redis.call('SET', KEYS[1], manifest)
redis.call('HSET', KEYS[2], org, version)
local seq = redis.call('INCR', KEYS[4])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', longest, '*', 'seq', seq, unpack(ARGV, first_field))
return {'published'}
"""

# KEYS: a bundle. ARGV: its bytes, seconds that it lasts unless it is there to stay. A key without a life stays without
# one, else a publish that comes to nothing would let the bundles of the manifest that stands expire.
_WRITE = """
if redis.call('TTL', KEYS[1]) == -1 then
    redis.call('SET', KEYS[1], ARGV[1])
else
    redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
"""


class Published(NamedTuple):
    """`stale`: the manifest that stands, of `standing`, is as new or newer, and nothing was changed."""

    outcome: Literal["published", "stale"]
    standing: str


class PublishError(Exception):
    """Redis changed under our hands each time: bundles vanished, or another compiler published."""


class _Before(NamedTuple):
    """What stood before a publish: the entry of `revisions`, and the shas that the manifest names."""

    revision: bytes
    shas: frozenset[str]

    @property
    def version(self) -> Version | None:
        try:
            return Version.parse(self.revision.decode())
        except (DecodeError, UnicodeDecodeError):
            return None


class UnreadableOrgError(Exception):
    """What Redis holds of an org is not what an edge could load; the message says what is wrong with it."""


async def publish(redis: Redis, org_id: UUID, compiled: Compiled, *, anew: bool = False) -> Published:
    """Moves the org's manifest in one step, unless the one that stands is as new. Raises PublishError.

    A bundle is written before the manifest that names it, to expire by itself; being named makes it stay. Those that
    the standing manifest names are not written again unless they are gone; with `anew` they are, as their bytes may be
    wrong.
    """
    before = await _before(redis, org_id)
    if before.version is not None and compiled.manifest.version <= before.version:
        return Published("stale", str(before.version))
    standing = frozenset[str]() if anew else before.shas
    await write_bundles(redis, org_id, {sha: data for sha, data in compiled.bundles.items() if sha not in standing})
    for _ in range(_ATTEMPTS):
        answer, *details = await _move(redis, org_id, compiled, before)
        if answer == "published":
            return Published("published", str(compiled.manifest.version))
        if answer == "stale":
            return Published("stale", details[0])
        if answer == "missing":
            await write_bundles(redis, org_id, {sha: compiled.bundles[sha] for sha in details})
        before = await _before(redis, org_id)
    raise PublishError(f"gave up after {_ATTEMPTS} tries, the last answer was: {answer}")


async def read_org(redis: Redis, org_id: UUID) -> tuple[Manifest, dict[str, Bundle]]:
    """What an edge would load now: the manifest, and its bundles by audience id. Raises UnreadableOrgError."""
    [data] = cast(list[bytes | None], await redis.mget([keys.manifest(org_id)]))  # a hash is no manifest, nor an error
    if data is None:
        raise UnreadableOrgError(f"nothing is published for org {org_id}")
    try:
        manifest = Manifest.decode(data)
        names = [keys.bundle(org_id, sha) for sha in manifest.bundles.values()]
        found = cast(list[bytes | None], await redis.mget(names)) if names else []
        bundles = {
            audience_id: Bundle.decode_named(sha, data)
            for (audience_id, sha), data in zip(manifest.bundles.items(), found, strict=True)
        }
    except DecodeError as error:
        raise UnreadableOrgError(f"org {org_id}: {error}") from error
    return manifest, bundles


async def _before(redis: Redis, org_id: UUID) -> _Before:
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.hget(keys.REVISIONS, str(org_id))
        pipeline.mget([keys.manifest(org_id)])  # a key that holds no string is none
        revision, [data] = await pipeline.execute()
    return _Before(revision or b"", _shas(data))


def _shas(data: bytes | None) -> frozenset[str]:
    """What a manifest names; nothing when it cannot be read, whatever is wrong with it."""
    try:
        return frozenset(map(str, Manifest.decode(data).bundles.values())) if data is not None else frozenset()
    except (DecodeError, TypeError, AttributeError):
        return frozenset()


async def _move(redis: Redis, org_id: UUID, compiled: Compiled, before: _Before) -> list[str]:
    manifest = compiled.manifest
    retired = sorted(before.shas - compiled.bundles.keys())
    announcement = org_change(org_id, manifest.version)
    names = [keys.manifest(org_id), keys.REVISIONS, keys.CHANGES, keys.CHANGES_SEQUENCE]
    arguments: list[Any] = [
        str(org_id),
        before.revision,
        str(manifest.version),
        manifest.encode(),
        keys.bundle(org_id, ""),
        UNREFERENCED_S,
        keys.CHANGES_MAX_LENGTH,
        len(compiled.bundles),
        len(retired),
        *compiled.bundles,
        *retired,
        *(word for field in announcement.items() for word in field),
    ]
    answer = await cast(Awaitable[list[bytes]], redis.eval(_PUBLISH, len(names), *names, *arguments))
    return [part.decode() for part in answer]


async def write_bundles(redis: Redis, org_id: UUID, bundles: Mapping[str, bytes]) -> None:
    """To expire unless a manifest comes to name them; those that stay, because one names them already, go on staying.

    Each is written, also where something is under its name: those bytes may be wrong.
    """
    async with redis.pipeline(transaction=False) as pipeline:
        for sha, data in bundles.items():
            pipeline.eval(_WRITE, 1, keys.bundle(org_id, sha), data, UNREFERENCED_S)
        await pipeline.execute()
