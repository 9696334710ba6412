import json
import signal
import sys
from pathlib import Path
from uuid import uuid4

import anyio
import httpx
import pytest

from inapp.embedded import EmbeddedPostgres, EmbeddedRedis
from inapp.embedded.ports import free_port
from store.migrate import upgrade_async
from tests.support.polling import eventually_async
from tests.support.processes import Process, Processes
from tests.support.recorder_world import NOW_MS, World, recorder_world
from wire import keys
from wire.events import EventBatch

pytestmark = pytest.mark.anyio

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def world_redis(own_redis: EmbeddedRedis) -> str:
    return own_redis.url


def environment(world: World, port: int = 0) -> dict[str, str]:
    return {
        "DATABASE_URL": world.database_url,
        "REDIS_URL": world.redis_url,
        "INAPP_PORT": str(port),
        "PYTHONPATH": str(REPOSITORY),
    }


@pytest.mark.parametrize("point", ["stored", "projected", "marked"])
async def test_a_recorder_killed_between_its_steps_counts_everything_once(
    world: World, processes: Processes, point: str
) -> None:
    message_id = await world.add_message()
    spool = uuid4()
    sent = [world.about(message_id, user=f"user{n % 3}", at_ms=NOW_MS + n) for n in range(9)]
    await world.ship(EventBatch(spool, 1, tuple(sent)))
    command = (sys.executable, "-m", "tests.support.dying_recorder")
    dying = processes.start(point, env=environment(world), command=command)
    assert await anyio.to_thread.run_sync(dying.wait) == -signal.SIGKILL, dying.output
    assert await world.count("events") == 9
    assert await world.redis.xlen(keys.events(keys.event_shard(spool))) == 1
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.consumer("one").run)
        await eventually_async(lambda: settled(world, spool))
        tasks.cancel_scope.cancel()
    assert await world.redis.smembers(keys.committed(spool)) == {b"1"}
    assert await world.count("in_app_message_impressions") == 9
    assert await world.rows("SELECT sum(impressions) FROM message_stats_hourly") == [(9,)]
    for n in range(3):
        assert (await world.known_state(f"u:user{n}")).seen[str(message_id)].impressions == 3


async def settled(world: World, spool: object) -> bool:
    return not sum([await world.redis.xlen(keys.events(shard)) for shard in range(keys.EVENT_SHARDS)])


async def test_the_process_serves_its_health_and_stops_when_told(world: World, processes: Processes) -> None:
    port = free_port()
    process = processes.start("recorder", env=environment(world, port))
    await ready(process, port)
    spool = uuid4()
    await world.ship(EventBatch(spool, 1, (world.identify("ada", "x"), world.event("paid", "ada"))))
    await world.ask_events(world.identify("bob"))
    await eventually_async(lambda: world.state("u:bob"))
    await eventually_async(lambda: settled(world, spool))
    checks = (await get(port, "readyz")).json()["checks"]
    assert checks["backlog"] == {"ok": True, "batches": 0, "inboxRows": 0}
    assert checks["userStates"] == {"ok": True, "orgsLeft": 0, "projected": 0, "total": 0}
    assert checks["features"] == {"ok": True, "preparing": 0, "percent": 100}
    metrics = (await get(port, "metrics")).text
    assert "inapp_recorder_events_stored_total 3.0" in metrics
    assert "inapp_recorder_claims_total 1.0" in metrics
    assert await anyio.to_thread.run_sync(process.stop) == 0
    assert "Traceback" not in process.output


async def test_it_waits_for_postgres_and_redis_and_outlives_their_absence(data_dir: Path, processes: Processes) -> None:
    postgres = EmbeddedPostgres(data_dir / "postgres", durable=False)
    redis = EmbeddedRedis(data_dir / "redis")
    urls = [server.start() for server in (postgres, redis)]
    await upgrade_async(urls[0])
    async with recorder_world(*urls) as world:
        await world.add_org()
    for server in (postgres, redis):
        server.stop()
    port = free_port()
    process = processes.start("recorder", env=environment(world, port))
    await eventually_async(lambda: says(process, "waiting_for_dependency", name="database"), 30)
    for round_, down in enumerate([(postgres, redis), (redis,), (postgres,)]):
        for server in down:
            await anyio.to_thread.run_sync(server.stop)
        if round_:
            await eventually_async(lambda: not_ready(port), 30)
        for server in down:
            await anyio.to_thread.run_sync(server.start)
        await ready(process, port)
        async with recorder_world(*urls) as again:
            again.org_id = world.org_id
            await it_works(again, str(round_))
    assert await anyio.to_thread.run_sync(process.stop) == 0
    assert "Traceback" not in process.output


async def it_works(world: World, user: str) -> None:
    await world.ship(EventBatch(uuid4(), 1, (world.identify(user),)))
    await world.ask_events(world.identify(f"asked {user}"))
    await eventually_async(lambda: world.state(f"u:{user}"), 30)
    await eventually_async(lambda: world.state(f"u:asked {user}"), 30)


async def ready(process: Process, port: int) -> None:
    await anyio.to_thread.run_sync(process.wait_ready, f"http://127.0.0.1:{port}")


async def get(port: int, path: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(f"http://127.0.0.1:{port}/{path}")


async def not_ready(port: int) -> bool:
    return (await get(port, "readyz")).status_code == 503


async def says(process: Process, log_event: str, **fields: object) -> bool:
    lines = [json.loads(line) for line in process.output.splitlines() if line.startswith("{")]
    return any(line["event"] == log_event and fields.items() <= line.items() for line in lines)
