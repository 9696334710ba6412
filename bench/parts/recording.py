"""How many events a second the recorder brings into Postgres, which keeps them whatever happens.

A backlog of batches lies in Redis, as edges ship them, about customers who are known; then a recorder is started. The
time runs from its first read to the end of the last batch, whose customers' states are in Redis by then.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.figures.rows import Row
from bench.servers.cores import cpu_s
from bench.servers.stage import Size, Stage
from bench.world.backlog import EVENTS_A_BATCH, batches
from bench.world.published import project
from bench.world.stored import store_customers, store_org
from bench.world.workload import CUSTOMERS, Workload, workload
from inapp.children import Child
from inapp.embedded import EmbeddedPostgres, EmbeddedRedis
from inapp.embedded.ports import HOST, free_port
from store.connect import create_engine
from store.migrate import upgrade_async
from wire import events, keys
from wire.events import EventBatch

_LOOK_EVERY_S: Final = 0.01
_GIVE_UP_S: Final = 300.0
_STREAMS: Final = [keys.events(shard) for shard in range(keys.EVENT_SHARDS)]


class Scale(NamedTuple):
    messages: int
    customers: int
    rounds: int
    events: int


SCALES: Final[dict[Size, Scale]] = {"tiny": Scale(40, 60, 1, 400), "full": Scale(1_000, CUSTOMERS, 5, 60_000)}


class _Round(NamedTuple):
    """Seconds, and seconds of processor time; 0 where nobody tells."""

    took: float
    recorder: float
    postgres: float


class _Servers(NamedTuple):
    folder: Path
    postgres: EmbeddedPostgres
    redis: EmbeddedRedis

    def recorder(self) -> Child:
        port = free_port()
        env = {"DATABASE_URL": self.postgres.url, "REDIS_URL": self.redis.url, "INAPP_PORT": str(port)}
        return Child("recorder", f"http://{HOST}:{port}", env, self.folder)


def measure(stage: Stage) -> list[Row]:
    """Some minutes at `full`."""
    scale = SCALES[stage.size]
    postgres, redis = EmbeddedPostgres(stage.new_folder()), EmbeddedRedis(stage.new_folder())
    folder = stage.new_folder()
    folder.mkdir()
    with ExitStack() as stack:
        stack.callback(postgres.remove)
        postgres.start()
        stack.enter_context(redis)
        found = asyncio.run(_measure(_Servers(folder, postgres, redis), scale))
    cores = f"recorder and Postgres on {_usable_cores()} cores"
    note = f"{scale.events:,} events a round, in batches of {EVENTS_A_BATCH}, of {scale.customers:,} customers; {cores}"
    return [
        Row("recorder into Postgres", tuple(scale.events / each.took for each in found), "events/s", note),
        _cpu_row("recorder, an event", [each.recorder for each in found], scale),
        _cpu_row("Postgres below a recorder, an event", [each.postgres for each in found], scale),
    ]


def _cpu_row(name: str, took_s: Sequence[float], scale: Scale) -> Row:
    return Row(name, tuple(each / scale.events * 1e6 for each in took_s), "µs of CPU")


async def _measure(servers: _Servers, scale: Scale) -> list[_Round]:
    org = workload(scale.messages)
    await upgrade_async(servers.postgres.url)
    engine = create_engine(servers.postgres.url)
    try:
        async with Redis.from_url(servers.redis.url) as redis:
            await _fill(engine, redis, org, scale.customers)
            rounds = []
            for number in range(scale.rounds):
                await _ship(redis, batches(org, scale.events, scale.customers, number))
                rounds.append(await _round(servers, redis))
                await _expect(engine, scale.events * (number + 1))
            return rounds
    finally:
        await engine.dispose()


async def _fill(engine: AsyncEngine, redis: Redis, org: Workload, customers: int) -> None:
    async with engine.begin() as connection:
        await store_org(connection, org)
        await store_customers(connection, org, customers)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE"))
    await project(org, redis, customers)


async def _ship(redis: Redis, shipped: Iterator[EventBatch]) -> None:
    for batch in shipped:
        entry: Any = events.entry(batch.spool, batch.number, len(batch.events), batch.encode())
        await redis.xadd(keys.events(keys.event_shard(batch.spool)), entry)


async def _round(servers: _Servers, redis: Redis) -> _Round:
    recorder = servers.recorder()
    recorder.start()
    pid = recorder.process.pid if recorder.process else 0
    try:
        await _until(lambda: _has_begun(redis))
        began_s, spent_s, below_s = time.monotonic(), cpu_s(pid) or 0.0, _children_cpu_s(servers.postgres.pid)
        await _until(lambda: _is_done(redis))
        ended_s = time.monotonic()
        spent_s, below_s = (cpu_s(pid) or 0.0) - spent_s, _children_cpu_s(servers.postgres.pid) - below_s
        return _Round(ended_s - began_s, spent_s, below_s)
    finally:
        await asyncio.to_thread(recorder.stop)


def _usable_cores() -> int:
    """Those that this process, and so what it starts, may run on."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _children_cpu_s(pid: int) -> float:
    """Seconds of processor time of a process's children; 0 where nobody tells."""
    found = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            parent = stat.read_text().rpartition(")")[2].split()[1]
            found += cpu_s(int(stat.parent.name)) or 0.0 if int(parent) == pid else 0.0
    return found


async def _has_begun(redis: Redis) -> bool:
    there = [stream for stream in _STREAMS if await redis.exists(stream)]
    groups: Any = [group for stream in there for group in await redis.xinfo_groups(stream)]
    return any(group["entries-read"] for group in groups)


async def _is_done(redis: Redis) -> bool:
    return not any([await redis.xlen(stream) for stream in _STREAMS])


async def _until(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_GIVE_UP_S):
        while not await check():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_LOOK_EVERY_S)


async def _expect(engine: AsyncEngine, stored: int) -> None:
    """Raises RuntimeError: what is not stored was not recorded fast."""
    async with engine.connect() as connection:
        found = (await connection.execute(text("SELECT count(*) FROM events"))).scalar_one()
    if found != stored:
        raise RuntimeError(f"{found} of {stored} events are stored")
