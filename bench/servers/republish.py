"""Publishes an org again and again, each time with one message edited.

`python -m bench.servers.republish URL ORG EVERY_S`.
"""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from redis.asyncio import Redis

from bench.servers.beside import Counts, until_told
from compiler.compile import NO_PARTS, Compiled
from compiler.publish import publish, read_org
from wire.bundle import Bundle, Manifest, sha_of


async def republish(redis: Redis, org_id: UUID, every_s: float, counts: Counts) -> None:
    """For ever, by the clock. `counts`: how often, and the revision that stands."""
    counts |= {"published": 0, "revision": 0}
    manifest, bundles = await read_org(redis, org_id)
    encoded = {manifest.bundles[audience_id]: bundle.encode() for audience_id, bundle in bundles.items()}
    targeted = sorted(audience_id for audience_id, bundle in bundles.items() if bundle.messages)
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    while True:
        audience_id = targeted[counts["published"] % len(targeted)]
        manifest, encoded = edited(manifest, encoded, audience_id)
        await publish(redis, org_id, Compiled(manifest, encoded, {}, 0, None, NO_PARTS))
        counts["published"] += 1
        counts["revision"] = manifest.version.revision
        due_s += every_s
        await asyncio.sleep(max(0.0, due_s - loop.time()))


def edited(manifest: Manifest, encoded: Mapping[str, bytes], audience_id: str) -> tuple[Manifest, dict[str, bytes]]:
    """As the compiler makes it of an edit of the audience's first message: one other bundle, and the next revision."""
    old = manifest.bundles[audience_id]
    bundle = Bundle.decode(encoded[old])
    first, *rest = bundle.messages
    changed = replace(
        first,
        version=first.version + 1,
        json=first.json.replace(b'"version":%d' % first.version, b'"version":%d' % (first.version + 1), 1),
    )
    data = replace(bundle, messages=(changed, *rest)).encode()
    version = manifest.version._replace(revision=manifest.version.revision + 1)
    shas = {**manifest.bundles, audience_id: sha_of(data)}
    kept = {sha: body for sha, body in encoded.items() if sha != old}
    return replace(manifest, version=version, bundles=shas), {**kept, sha_of(data): data}


async def main(counts: Counts, url: str, org_id: str, every_s: str) -> None:
    async with Redis.from_url(url) as redis:
        await republish(redis, UUID(org_id), float(every_s), counts)


if __name__ == "__main__":
    until_told(lambda counts: main(counts, *sys.argv[1:]))
