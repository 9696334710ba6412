"""The edge as a process of its own: how it starts, is killed, and ends."""

import asyncio
import json
import sys
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from edge.spool import Spool
from inapp.embedded import EmbeddedRedis
from inapp.embedded.ports import free_port
from tests.support.polling import eventually, eventually_async
from tests.support.processes import Process, Processes
from tests.support.publishing import Publisher, message, shipped
from wire.events import EventBatch

pytestmark = pytest.mark.anyio


class EdgeProcess:
    def __init__(
        self, processes: Processes, redis_url: str, data_dir: Path, *, limit_blocks: int | None = None
    ) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = {"REDIS_URL": redis_url, "INAPP_PORT": str(port), "INAPP_EDGE_DIR": str(data_dir)}
        if limit_blocks is None:
            self.process: Process = processes.start("edge", env=environment)
        else:
            script = f'ulimit -f {limit_blocks}; exec "$0" -m inapp edge'
            self.process = processes.start(env=environment, command=["bash", "-c", script, sys.executable], name="edge")

    def ready(self) -> "EdgeProcess":
        self.process.wait_ready(self.url)
        return self

    def post(self, path: str, body: object) -> httpx.Response:
        return httpx.post(f"{self.url}/api/v1/{path}", json=body, timeout=10)

    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.process.output.splitlines() if line.startswith("{")]


async def acknowledged_until_it_ends(edge: EdgeProcess, org: Publisher, results: list[str], **fields: object) -> None:
    """Posts events one after the other; `results` gets the client ids of those that were acknowledged."""
    async with httpx.AsyncClient(base_url=edge.url, timeout=10) as client:
        number = 0
        while True:
            id_ = f"{id(client)}-{number}"
            number += 1
            body = org.body(eventType="a", userId="ada", id=id_, properties={"id": id_, **fields})
            try:
                answer = await client.post("/api/v1/events", json=body)
            except httpx.TransportError:
                return
            if answer.status_code != 200:
                return
            results.append(id_)


async def kept(data_dir: Path) -> list[str]:
    spool = Spool(data_dir, 1 << 30, lambda batch: None)
    stored = await spool.open()
    await spool.close()
    return [json.loads(event.properties)["id"] for batch in stored for event in EventBatch.decode(batch.body).events]


async def at_least(number: int, told: list[str]) -> None:
    async def are_told() -> bool:
        return len(told) >= number

    await eventually_async(are_told)


async def recorded(redis: Redis) -> set[str]:
    return {json.loads(event.properties)["id"] for batch in await shipped(redis) for event in batch.events}


async def test_kill_9_under_load_loses_nothing_acknowledged(
    processes: Processes, redis: Redis, redis_db: str, tmp_path: Path
) -> None:
    org = Publisher(redis)
    org.everyone(message())
    await org.publish()
    data_dir = tmp_path / "edge"
    edge = EdgeProcess(processes, redis_db, data_dir).ready()
    told: list[str] = []
    clients = [asyncio.create_task(acknowledged_until_it_ends(edge, org, told)) for _ in range(8)]
    await at_least(200, told)
    edge.process.kill()
    await asyncio.gather(*clients)
    assert set(told) <= set(await kept(data_dir))
    EdgeProcess(processes, redis_db, data_dir).ready()

    async def all_are_shipped() -> bool:
        return set(told) <= await recorded(redis)

    await eventually_async(all_are_shipped)


async def test_sigterm_sends_what_is_in_the_spool_and_ends_well(
    processes: Processes, redis: Redis, redis_db: str, tmp_path: Path
) -> None:
    org = Publisher(redis)
    org.everyone(message())
    await org.publish()
    edge = EdgeProcess(processes, redis_db, tmp_path / "edge").ready()
    told: list[str] = []
    clients = [asyncio.create_task(acknowledged_until_it_ends(edge, org, told)) for _ in range(4)]
    await at_least(50, told)
    assert await asyncio.to_thread(edge.process.stop) == 0
    await asyncio.gather(*clients)
    assert set(told) <= await recorded(redis)


async def test_a_spool_that_cannot_be_written_ends_the_process_loudly(
    processes: Processes, redis: Redis, redis_db: str, tmp_path: Path
) -> None:
    org = Publisher(redis)
    org.everyone(message())
    await org.publish()
    data_dir = tmp_path / "edge"
    edge = EdgeProcess(processes, redis_db, data_dir, limit_blocks=200).ready()  # files may not grow past 200 KiB
    told: list[str] = []
    await asyncio.wait_for(acknowledged_until_it_ends(edge, org, told, pad="x" * 8000), timeout=30)
    assert edge.process.wait() == 1
    assert "spool_broken" in {event["event"] for event in edge.events()}
    assert told
    assert set(told) <= set(await kept(data_dir))


async def test_without_redis_it_starts_says_what_it_waits_for_and_serves_from_disk(
    processes: Processes, own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    plain = message()
    async with Redis.from_url(own_redis.url) as redis:
        org = Publisher(redis)
        org.everyone(plain)
        await org.publish()
    first = EdgeProcess(processes, own_redis.url, tmp_path / "edge").ready()
    assert first.post("in-app-messages/fetch", org.body(userId="ada")).status_code == 200
    own_redis.stop()
    first.process.kill()
    edge = EdgeProcess(processes, own_redis.url, tmp_path / "edge").ready()
    data = edge.post("in-app-messages/fetch", org.body(userId="ada")).json()["data"]
    assert [each["id"] for each in data["messages"]] == [plain.id]
    assert data["degraded"] is True
    assert edge.post("events", org.body(eventType="a", userId="ada")).json()["data"]["accepted"] == 1
    waiting = [event for event in edge.events() if event["event"] == "waiting_for_dependency"]
    assert waiting and waiting[0]["name"] == "redis" and waiting[0]["retry_in_seconds"]
    assert "Traceback" not in edge.process.output
    own_redis.start()

    def is_back() -> bool:
        ready = httpx.get(f"{edge.url}/readyz").json()
        return bool(ready["checks"]["redis"]["reachable"])

    eventually(is_back)


async def test_a_second_edge_on_the_same_folder_ends_with_a_clear_line(
    processes: Processes, redis_db: str, tmp_path: Path
) -> None:
    EdgeProcess(processes, redis_db, tmp_path / "edge").ready()
    second = EdgeProcess(processes, redis_db, tmp_path / "edge")
    assert second.process.wait() == 1
    assert "another edge works in" in second.process.output
    assert "Traceback" not in second.process.output
