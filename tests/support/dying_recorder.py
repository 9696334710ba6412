"""A recorder that kills itself at a given point: `python -m tests.support.dying_recorder POINT`.

Points: `stored` after the transaction, `projected` after the projection, `marked` between the mark and the
acknowledgement. While features are gathered, with two customers a chunk: `gathered` after a chunk's transaction,
`shown` after its projection, `moved` after the cursor, `ending` before the last transaction.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio import Redis

from recorder.app import RecorderSettings
from recorder.batches.consume import BLOCK_MS, Consumer
from recorder.batches.entries import Entry
from recorder.features import gather
from recorder.features import keep as features
from recorder.features.gather import Pass
from recorder.features.keep import Features
from recorder.ledger import Ledger
from recorder.states.project import Projector
from service.connect import blocking_redis_client, redis_client
from service.settings import load_settings
from store.connect import create_engine
from wire import keys

GATHERING = ("gathered", "shown", "moved", "ending")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingProjector(Projector):
    async def project(self, touched: Iterable[Any]) -> None:
        die()


class DyingConsumer(Consumer):
    point = ""
    marking: Redis

    async def _acknowledge(self, entries: Sequence[Entry]) -> None:  # type: ignore[override]
        if self.point == "marked":
            for entry in entries:
                assert entry.batch is not None
                await self.marking.sadd(keys.committed(entry.batch[0]), entry.batch[1])
        die()


class DyingFeatures(Features):
    async def _gather(self, begun: Pass) -> None:
        await super()._gather(begun)
        die()


async def dying_instead(*_: object) -> None:
    die()


async def gather_and_die(point: str) -> None:
    settings = load_settings(RecorderSettings)
    database_url = settings.database_url.get_secret_value()
    engine = create_engine(database_url)
    redis = redis_client(settings.redis_url.get_secret_value())
    features.CUSTOMERS_AT_ONCE = 2
    for name in {"shown": ("move_on",), "ending": ("end",)}.get(point, ()):
        setattr(gather, name, dying_instead)
    projector = DyingProjector(engine, redis) if point == "gathered" else Projector(engine, redis)
    kind = DyingFeatures if point == "moved" else Features
    await kind(engine, database_url, Ledger(engine), projector).run()


async def main(point: str) -> None:
    if point in GATHERING:
        await gather_and_die(point)
    settings = load_settings(RecorderSettings)
    engine = create_engine(settings.database_url.get_secret_value())
    redis_url = settings.redis_url.get_secret_value()
    redis = redis_client(redis_url)
    projector = DyingProjector(engine, redis) if point == "stored" else Projector(engine, redis)
    consumer = DyingConsumer(redis, blocking_redis_client(redis_url, BLOCK_MS), Ledger(engine), projector, "one")
    consumer.point, consumer.marking = point, redis
    await consumer.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
