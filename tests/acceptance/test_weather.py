"""Bad input and bad weather, against the four processes."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from inapp.embedded import EmbeddedPostgres, EmbeddedRedis
from store import migrate
from tests.support.loop import Loop, Org
from tests.support.polling import eventually
from tests.support.processes import Process, Processes


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def test_bad_events_are_listed_and_nothing_downstream_chokes_on_them(loop: Loop, org: Org) -> None:
    message = loop.post_message(org)
    loop.wait_visible(org, message)
    seen = {"eventType": "in_app.impression", "userId": "ada", "properties": {"messageId": message["id"]}}
    batch = [
        seen | {"id": "1"},
        {"eventType": "a", "userId": "ada", "properties": {"text": "\0"}},
        {"eventType": "a", "userId": "ada", "properties": deep(100)},
        {"userId": "ada"},
        {"eventType": "a", "userId": "ada", "timestamp": "2999-01-01T00:00:00Z"},
        {"eventType": "a", "userId": "ada", "properties": {"text": "half \ud83d"}},
        seen | {"id": "2"},
    ]
    body = json.dumps({"apiKey": org.public_key, "events": batch})
    answer = httpx.post(f"{loop.url('edge')}/api/v1/events/batch", content=body)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert data["accepted"] == 2
    assert [(one["index"], one["code"]) for one in data["rejected"]] == [
        (1, "nul_character"),
        (2, "too_deep"),
        (3, "event_type_missing"),
        (4, "timestamp_in_future"),
        (5, "lone_surrogate"),
    ]
    eventually(lambda: loop.stats(org)["impressions"] == 2)


def test_the_edge_refuses_what_it_cannot_read(loop: Loop) -> None:
    for path, body, status, code in (
        ("in-app-messages/fetch", b"{", 400, "invalid_json"),
        ("in-app-messages/fetch", b"", 400, "invalid_json"),
        ("in-app-messages/fetch", b" " * 65_537, 413, "payload_too_large"),
        ("events", b" " * 65_537, 413, "payload_too_large"),
        ("events/batch", b" " * 524_289, 413, "payload_too_large"),
        ("events/batch", b'{"events":[]}', 401, "invalid_api_key"),
    ):
        answer = httpx.post(f"{loop.url('edge')}/api/v1/{path}", content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.json()["error"]["requestId"] == answer.headers["x-request-id"]


def test_servers_that_are_down_at_the_start_are_waited_for_with_a_clear_line(
    processes: Processes, own_postgres: EmbeddedPostgres, own_redis: EmbeddedRedis, data_dir: Path
) -> None:
    migrate.upgrade(own_postgres.url)
    loop = Loop(processes, {"DATABASE_URL": own_postgres.url, "REDIS_URL": own_redis.url}, data_dir)
    own_postgres.stop()
    own_redis.stop()
    loop.launch()
    for name in ("compiler", "recorder", "edge"):
        eventually(partial(says, loop.running[name], "waiting_for_dependency"))
    password = (own_postgres.data_dir / "password").read_text()
    for process in loop.running.values():
        assert "Traceback" not in process.output
        assert password not in process.output
    own_redis.start()
    own_postgres.start()
    loop.wait_ready()
    org = loop.create_org()
    loop.wait_visible(org, loop.post_message(org))


def says(process: Process, text: str) -> bool:
    return text in process.output


def test_the_edge_serves_on_while_redis_and_postgres_are_down_and_nothing_is_lost(
    processes: Processes, own_postgres: EmbeddedPostgres, own_redis: EmbeddedRedis, data_dir: Path
) -> None:
    migrate.upgrade(own_postgres.url)
    loop = Loop(processes, {"DATABASE_URL": own_postgres.url, "REDIS_URL": own_redis.url}, data_dir)
    loop.start()
    org = loop.create_org()
    message = loop.post_message(org)
    loop.wait_visible(org, message)

    own_postgres.stop()
    own_redis.stop()
    assert loop.fetched_ids(org) == [message["id"]]
    for number in range(5):
        assert record_impression(loop, org, message, str(number)) == 200
    loop.running["edge"].kill()
    loop.launch_one("edge")
    loop.wait_answering("edge")
    assert loop.fetched_ids(org, userId="grace") == [message["id"]]
    assert loop.fetch(org, userId="grace")["degraded"] is True
    assert record_impression(loop, org, message, "after") == 200

    own_redis.start()
    own_postgres.start()
    eventually(lambda: impressions(loop, org) == 6, timeout=30)


def record_impression(loop: Loop, org: Org, message: dict[str, Any], id_: str) -> int:
    path = f"in-app-messages/{message['id']}/impressions"
    return loop.edge(path, {"userId": "ada", "id": id_}, org).status_code


def impressions(loop: Loop, org: Org) -> int | None:
    answer = loop.admin(org, "GET", "/in-app-messages/stats")
    return answer.json()["data"]["impressions"] if answer.status_code == 200 else None


def test_every_process_answers_health_and_metrics(loop: Loop) -> None:
    for name in ("admin", "compiler", "recorder", "edge"):
        assert httpx.get(f"{loop.url(name)}/healthz").status_code == 200
        ready = httpx.get(f"{loop.url(name)}/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ok")
        metrics = httpx.get(f"{loop.url(name)}/metrics")
        assert "inapp_tasks_alive" in metrics.text or name == "admin"
    for name in ("admin", "edge"):
        assert httpx.get(f"{loop.url(name)}/openapi.json").json()["paths"]
