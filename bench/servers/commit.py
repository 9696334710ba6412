"""Stands in for the recorder, so that edges believe their batches to be in Postgres.

`python -m bench.servers.commit URL`.
"""

import asyncio
import sys
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from bench.servers.beside import Counts, until_told
from wire import keys

_PAUSE_S = 0.05
_AT_ONCE = 200


async def commit(redis: Redis, counts: Counts) -> None:
    """For ever. Marks every batch in the streams, then takes it out, as the recorder does after its commit."""
    counts |= {"batches": 0, "events": 0}
    while True:
        for shard in range(keys.EVENT_SHARDS):
            await _commit(redis, keys.events(shard), counts)
        await asyncio.sleep(_PAUSE_S)


async def _commit(redis: Redis, stream: str, counts: Counts) -> None:
    entries: Any = await redis.xrange(stream, count=_AT_ONCE)
    if not entries:
        return
    pipeline = redis.pipeline(transaction=False)
    for _, fields in entries:
        pipeline.sadd(keys.committed(UUID(bytes=fields[b"spool"])), int(fields[b"number"]))
        counts["events"] += int(fields[b"count"])
    pipeline.xdel(stream, *(id_ for id_, _ in entries))
    await pipeline.execute()
    counts["batches"] += len(entries)


async def main(counts: Counts, url: str) -> None:
    async with Redis.from_url(url) as redis:
        await commit(redis, counts)


if __name__ == "__main__":
    until_told(lambda counts: main(counts, *sys.argv[1:]))
