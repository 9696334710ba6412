"""A recorder that kills itself at a given point: `python -m tests.support.dying_recorder POINT`.

Points: `stored` after the transaction, `projected` after the projection, `marked` between the mark and the
acknowledgement.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio import Redis

from recorder.app import RecorderSettings
from recorder.consume import BLOCK_MS, Consumer
from recorder.entries import Entry
from recorder.ledger import Ledger
from recorder.project import Projector
from service.connect import blocking_redis_client, redis_client
from service.settings import load_settings
from store.connect import create_engine
from wire import keys


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


async def main(point: str) -> None:
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
