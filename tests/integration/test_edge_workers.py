"""An edge of several processes: one port, one sum of metrics, and no acknowledged event lost whatever ends."""

import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.multiprocess import MultiProcessCollector
from redis.asyncio import Redis

from edge.disk import BundleDisk
from inapp.embedded import EmbeddedRedis
from inapp.embedded.ports import free_port
from inapp.embedded.processes import command_line
from tests.support.polling import eventually, eventually_async
from tests.support.processes import Processes
from tests.support.publishing import Publisher, message, shipped
from wire import apikeys
from wire.bundle import Manifest, sha_of

pytestmark = pytest.mark.anyio

FETCH = "/api/v1/in-app-messages/fetch"
FETCHED = f'inapp_http_requests_total{{method="POST",route="{FETCH}",status="200"}}'
INAPP = (sys.executable, "-m", "inapp")
NEVER_RESET = """
from edge.settings import EdgeSettings
from edge.workers import run_workers
from service.logs import configure_logs
from service.settings import load_settings

configure_logs("edge", "debug")
run_workers(load_settings(EdgeSettings), reset_after_s=86_400)
"""


class Edge:
    """`inapp edge --workers N`; every request of `post` has a connection of its own."""

    def __init__(
        self,
        processes: Processes,
        redis_url: str,
        folder: Path,
        workers: int,
        *,
        port: int | None = None,
        command: Sequence[str] = INAPP,
    ) -> None:
        self.port = free_port() if port is None else port
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self.process = processes.start(
            "edge",
            "--workers",
            str(workers),
            env={
                "REDIS_URL": redis_url,
                "INAPP_PORT": str(self.port),
                "INAPP_EDGE_DIR": str(folder),
                "INAPP_WORKERS": str(workers),
                "INAPP_LOG_LEVEL": "debug",
            },
            command=command,
        )

    def ready(self) -> "Edge":
        self.process.wait_ready(self.url)
        return self

    def all_listen(self, workers: int = 2) -> "Edge":
        eventually(lambda: len({line["worker"] for line in self.lines("listening")}) == workers, 30)
        return self.ready()

    def lines(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.process.output.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def pid(self, worker: int) -> int:
        return [int(line["pid"]) for line in self.lines("worker_started") if line["worker"] == worker][-1]

    def post(self, path: str, body: object) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, timeout=10)

    def track(self, org: Publisher, number: int) -> list[str]:
        """Client ids of as many acknowledged events."""
        ids = [f"{self.port}-{index}" for index in range(number)]
        for id_ in ids:
            body = org.body(eventType="a", userId="ada", id=id_, properties={"id": id_})
            assert self.post("/api/v1/events", body).status_code == 200
        return ids

    def metric(self, sample: str, client: httpx.Client | None = None) -> float:
        """`client` stays on its connection, and so with one worker."""
        text = (client or httpx).get(f"{self.url}/metrics").text
        found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def expect_both_served(self, requests: int) -> None:
        """Two workers, together."""
        eventually(lambda: self.served(0) + self.served(1) == requests)
        assert self.served(0) and self.served(1)

    def served(self, worker: int) -> float:
        """Fetches that one worker answered, by the file in which it counts."""
        files = [str(self.folder / "metrics" / f"counter_{worker}.db")]
        merged = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        fetched = {"method": "POST", "route": FETCH, "status": "200"}
        return float(sum(each.value for metric in merged for each in metric.samples if each.labels == fetched))


async def published(redis: Redis) -> Publisher:
    org = Publisher(redis)
    await org.mark_projected()
    org.everyone(message())
    await org.publish()
    return org


async def arrive(redis_url: str, ids: list[str]) -> None:
    async with Redis.from_url(redis_url) as redis:

        async def all_are_there() -> bool:
            batches = await shipped(redis)
            return set(ids) <= {json.loads(event.properties)["id"] for batch in batches for event in batch.events}

        await eventually_async(all_are_there, 20)


def all_gone(pids: list[int]) -> bool:
    return not any(command_line(pid) for pid in pids)


async def test_workers_share_a_port_and_any_of_them_tells_the_sum(
    processes: Processes, redis: Redis, redis_db: str, tmp_path: Path
) -> None:
    org = await published(redis)
    edge = Edge(processes, redis_db, tmp_path / "edge", 2).all_listen()
    answers = [edge.post(FETCH, org.body(userId="ada")) for _ in range(40)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["x-request-id"] for answer in answers}) == 40
    with httpx.Client(base_url=edge.url) as one_of_them:
        eventually(lambda: edge.metric(FETCHED, one_of_them) == 40)
    assert edge.served(0) and edge.served(1)
    assert edge.served(0) + edge.served(1) == 40
    assert edge.metric("inapp_listening") == 2
    assert edge.metric("inapp_edge_orgs") == 1
    assert edge.metric('inapp_tasks_alive{task="spool"}') == 1


async def test_a_killed_worker_comes_back_with_its_events_and_its_counts(
    processes: Processes, own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    async with Redis.from_url(own_redis.url) as redis:
        org = await published(redis)
    edge = Edge(processes, own_redis.url, tmp_path / "edge", 2).all_listen()
    edge.track(org, 1)  # so that both know the org
    own_redis.stop()
    ids = edge.track(org, 30)
    for worker in (0, 1):
        os.kill(edge.pid(worker), signal.SIGKILL)
    eventually(lambda: len(edge.lines("listening")) == 4, 30)
    assert [line["code"] for line in edge.lines("worker_ended")] == [-9, -9]
    own_redis.start()
    await arrive(own_redis.url, ids)
    edge.ready()
    assert edge.metric("inapp_edge_events_accepted_total") == 31
    assert edge.metric("inapp_worker_restarts_total") == 2
    assert edge.metric("inapp_listening") == 2


async def test_a_worker_that_keeps_dying_is_started_less_often_and_not_counted_meanwhile(
    processes: Processes, redis_db: str, tmp_path: Path
) -> None:
    command = (sys.executable, "-c", NEVER_RESET)  # a slow machine's worker may well outlive the usual time
    edge = Edge(processes, redis_db, tmp_path / "edge", 2, command=command).all_listen()
    for times in range(1, 6):
        eventually(lambda: edge.metric("inapp_listening") == 2, 20)
        os.kill(edge.pid(1), signal.SIGKILL)
        eventually(lambda times=times: len(edge.lines("worker_ended")) == times)  # type: ignore[misc]
    assert [line["restart_in_seconds"] for line in edge.lines("worker_ended")] == [0.1, 0.2, 0.4, 0.8, 1.6]
    eventually(lambda: edge.metric("inapp_listening") == 1)
    eventually(lambda: edge.metric("inapp_listening") == 2)


async def test_a_worker_leaves_ctrl_c_to_the_parent(
    processes: Processes, redis: Redis, redis_db: str, tmp_path: Path
) -> None:
    org = await published(redis)
    edge = Edge(processes, redis_db, tmp_path / "edge", 2).all_listen()
    for worker in (0, 1):
        os.kill(edge.pid(worker), signal.SIGINT)
    for _ in range(20):
        assert edge.post(FETCH, org.body(userId="ada")).status_code == 200
    assert edge.lines("stopping") == edge.lines("worker_ended") == []


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_signal_ends_all_of_them_well(
    processes: Processes, redis_db: str, tmp_path: Path, stop: signal.Signals
) -> None:
    edge = Edge(processes, redis_db, tmp_path / "edge", 2).all_listen()
    pids = [edge.pid(0), edge.pid(1)]
    os.killpg(edge.process.popen.pid, stop)  # as Ctrl-C does: the workers get it too
    assert edge.process.wait() == 0
    assert all_gone(pids)
    assert len(edge.lines("stopped")) == 3


async def test_when_the_parent_is_killed_nobody_is_left(processes: Processes, redis_db: str, tmp_path: Path) -> None:
    edge = Edge(processes, redis_db, tmp_path / "edge", 2).all_listen()
    pids = [edge.pid(0), edge.pid(1)]
    edge.process.popen.kill()
    try:
        eventually(lambda: all_gone(pids), 20)
    finally:
        edge.process.kill()
    Edge(processes, redis_db, tmp_path / "edge", 2, port=edge.port).all_listen()


@pytest.mark.parametrize("workers", [1, 2])
async def test_fewer_workers_take_over_what_the_others_had_acknowledged(
    processes: Processes, own_redis: EmbeddedRedis, tmp_path: Path, workers: int
) -> None:
    async with Redis.from_url(own_redis.url) as redis:
        org = await published(redis)
    edge = Edge(processes, own_redis.url, tmp_path / "edge", 3).all_listen(3)
    edge.track(org, 1)
    own_redis.stop()
    ids = edge.track(org, 40)
    edge.process.kill()
    fewer = Edge(processes, own_redis.url, tmp_path / "edge", workers)
    eventually(lambda: len({line["spool"] for line in fewer.lines("left_over_events_adopted")}) == 3 - workers, 30)
    own_redis.start()
    await arrive(own_redis.url, ids)


async def test_a_port_on_which_another_edge_listens_is_refused(
    processes: Processes, redis_db: str, tmp_path: Path
) -> None:
    first = Edge(processes, redis_db, tmp_path / "first", 2).all_listen()
    for workers in (1, 2):
        second = Edge(processes, redis_db, tmp_path / "second", workers, port=first.port)
        assert second.process.wait() == 1
        (line,) = second.lines("cannot_listen")
        assert line["reason"].endswith(f":{first.port}: already in use")


async def test_any_free_port_is_the_same_for_all(processes: Processes, redis_db: str, tmp_path: Path) -> None:
    edge = Edge(processes, redis_db, tmp_path / "edge", 2, port=0)
    eventually(lambda: len(edge.lines("listening")) == 2, 30)
    assert len({line["url"] for line in edge.lines("listening")}) == 1


async def test_a_folder_in_which_another_edge_works_is_refused(
    processes: Processes, redis_db: str, tmp_path: Path
) -> None:
    Edge(processes, redis_db, tmp_path / "edge", 2).all_listen()
    for workers in (1, 2):
        second = Edge(processes, redis_db, tmp_path / "edge", workers)
        assert second.process.wait() == 1
        (line,) = second.lines("cannot_start")
        assert line["reason"].startswith("another edge works in")
        assert "Traceback" not in second.process.output


async def test_a_worker_that_cannot_start_ends_all_of_it_and_says_why(
    processes: Processes, redis_db: str, tmp_path: Path
) -> None:
    (tmp_path / "worker-1" / "spool.lock").mkdir(parents=True)
    edge = Edge(processes, redis_db, tmp_path, 2)
    assert edge.process.wait(30) == 1
    assert "cannot keep a spool" in edge.process.output
    assert [line["worker"] for line in edge.lines("worker_could_not_start")] == [1]
    eventually(lambda: all_gone([edge.pid(0), edge.pid(1)]))


async def test_a_worker_that_is_new_serves_from_disk_while_redis_is_away(
    processes: Processes, own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    async with Redis.from_url(own_redis.url) as redis:
        org = await published(redis)
    one = Edge(processes, own_redis.url, tmp_path / "edge", 1).ready()
    eventually(lambda: any((tmp_path / "edge" / "bundles").glob("*/manifest")))
    assert one.process.stop() == 0
    own_redis.stop()
    edge = Edge(processes, own_redis.url, tmp_path / "edge", 2).all_listen()
    for _ in range(20):
        assert len(edge.post(FETCH, org.body(userId="ada")).json()["data"]["messages"]) == 1
    edge.expect_both_served(20)


async def test_a_key_revoked_while_there_was_one_worker_stays_so_for_more_of_them_while_redis_is_away(
    processes: Processes, own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    folder = tmp_path / "edge"
    async with Redis.from_url(own_redis.url) as redis:
        org = await published(redis)
        two = Edge(processes, own_redis.url, folder, 2).all_listen()
        eventually(lambda: held(folder) == held(folder / "worker-1") == [1])
        assert two.process.stop() == 0
        one = Edge(processes, own_redis.url, folder, 1).ready()
        org.live_keys = [apikeys.mint("pk", "prod", org.org_id)]
        await org.publish()
        eventually(lambda: held(folder) == [2])
        assert one.process.stop() == 0
    own_redis.stop()
    edge = Edge(processes, own_redis.url, folder, 2).all_listen()
    assert {edge.post(FETCH, org.body(userId="ada")).status_code for _ in range(40)} == {401}
    org.key = org.live_keys[0]
    assert {edge.post(FETCH, org.body(userId="ada")).status_code for _ in range(40)} == {200}
    edge.expect_both_served(40)


async def test_an_edge_of_one_process_takes_over_what_a_worker_had_stored_that_is_newer(
    processes: Processes, own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    folder = tmp_path / "edge"
    async with Redis.from_url(own_redis.url) as redis:
        org = await published(redis)
        BundleDisk(folder / "bundles").save(org.org_id, org.manifest(), encoded(org))
        org.everyone(message("newer"))
        await org.publish()
        BundleDisk(folder / "worker-1" / "bundles").save(org.org_id, org.manifest(), encoded(org))
    own_redis.stop()
    edge = Edge(processes, own_redis.url, folder, 1).ready()
    (given,) = edge.post(FETCH, org.body(userId="ada")).json()["data"]["messages"]
    assert given["content"] == {"body": "newer"}


def held(folder: Path) -> list[int]:
    """Revisions of the stored manifests."""
    return [Manifest.decode(stored.manifest).version.revision for stored in BundleDisk(folder / "bundles").load()]


def encoded(org: Publisher) -> dict[str, bytes]:
    """Its bundles by sha."""
    return {sha_of(bundle.encode()): bundle.encode() for bundle in org.bundles.values()}
