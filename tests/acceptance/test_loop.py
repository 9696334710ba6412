"""The main job, over HTTP, with the four processes as four: author → compile → fetch → record → count."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import redis as redis_py
from sqlalchemy import func, select

from store import tables
from store.connect import create_engine
from tests.support.loop import Loop, Org
from tests.support.polling import eventually
from wire import keys
from wire.events import EventBatch


def message_event(kind: str, message: dict[str, Any], id_: str, user_id: str = "ada") -> dict[str, Any]:
    return {"id": id_, "eventType": kind, "userId": user_id, "properties": {"messageId": message["id"]}}


def in_seconds(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_an_impression_and_a_click_are_counted_once_though_everything_is_sent_twice(loop: Loop, org: Org) -> None:
    message = loop.post_message(org)
    loop.wait_visible(org, message, timeout=1.0)
    batch = [message_event("in_app.impression", message, "i-1"), message_event("in_app.clicked", message, "c-1")]

    with loop.frozen("recorder"):
        for _ in range(2):
            answer = loop.edge("events/batch", {"events": batch}, org)
            assert answer.json() == {"success": True, "data": {"accepted": 2, "rejected": []}}
        assert send_streamed_batches_again(loop.environment["REDIS_URL"], org) >= 1

    eventually(lambda: loop.stats(org)["clicks"] == 1)
    loop.edge("events/batch", {"events": [*batch, message_event("in_app.impression", message, "i-2")]}, org)
    eventually(lambda: loop.stats(org)["impressions"] == 2)
    stats = loop.stats(org)
    assert (stats["total"], stats["active"], stats["clicks"], stats["uniqueImpressions"]) == (1, 1, 1, 1)
    assert stats["ctr"] == 0.5
    own = loop.admin(org, "GET", f"/in-app-messages/{message['id']}/stats").json()["data"]
    assert (own["impressions"], own["clicks"]) == (2, 1)


def send_streamed_batches_again(redis_url: str, org: Org) -> int:
    """Appends a copy of every batch of the org's that waits in the streams; returns how many."""
    with redis_py.Redis.from_url(redis_url) as client:

        def waiting() -> list[tuple[str, Any]]:
            return [
                (keys.events(shard), fields)
                for shard in range(keys.EVENT_SHARDS)
                for _, fields in client.xrange(keys.events(shard))
                if is_about(org, fields[b"body"])
            ]

        copies = eventually(waiting)
        for stream, fields in copies:
            client.xadd(stream, fields)
        return len(copies)


def is_about(org: Org, batch: bytes) -> bool:
    return any(event.org_id == UUID(org.org_id) for event in EventBatch.decode(batch).events)


def test_a_paused_message_goes_within_a_second_and_resumes_with_counts_and_caps_intact(loop: Loop, org: Org) -> None:
    message = loop.post_message(org, frequencyCap={"maxImpressions": 2})
    loop.wait_visible(org, message)
    loop.edge(f"in-app-messages/{message['id']}/impressions", {"userId": "ada"}, org)
    eventually(lambda: loop.stats(org)["impressions"] == 1)

    loop.admin(org, "PATCH", f"/in-app-messages/{message['id']}", {"active": False})
    loop.wait_gone(org, message, timeout=1.0)
    assert loop.stats(org)["active"] == 0
    loop.admin(org, "PATCH", f"/in-app-messages/{message['id']}", {"active": True})
    loop.wait_visible(org, message, timeout=1.0)

    assert loop.stats(org)["impressions"] == 1
    loop.edge(f"in-app-messages/{message['id']}/impressions", {"userId": "ada"}, org)
    assert message["id"] not in loop.fetched_ids(org)
    assert message["id"] in loop.fetched_ids(org, userId="grace")


def test_a_message_starts_and_ends_on_time(loop: Loop, org: Org) -> None:
    starts, ends = in_seconds(2), in_seconds(4)
    message = loop.post_message(org, startsAt=starts.isoformat(), endsAt=ends.isoformat())
    later = loop.post_message(org)
    loop.wait_visible(org, later)

    seen_at: list[datetime] = []
    while datetime.now(UTC) < ends + timedelta(seconds=0.75):
        before = datetime.now(UTC)
        if message["id"] in loop.fetched_ids(org):
            seen_at.append(before)
    assert starts - timedelta(seconds=0.25) <= seen_at[0]
    assert seen_at[0] <= starts + timedelta(seconds=1)
    assert seen_at[-1] <= ends + timedelta(seconds=0.25)


def test_one_slot_goes_to_the_higher_priority_and_ties_to_the_earlier(loop: Loop, org: Org) -> None:
    first = loop.post_message(org, priority=50)
    second = loop.post_message(org, priority=50)
    higher = loop.post_message(org, priority=80)
    elsewhere = loop.post_message(org, type="modal", priority=10)
    loop.wait_visible(org, elsewhere)

    assert loop.fetched_ids(org) == [higher["id"], first["id"], second["id"], elsewhere["id"]]
    assert loop.fetched_ids(org, resolve=True) == [higher["id"], elsewhere["id"]]
    loop.admin(org, "PATCH", f"/in-app-messages/{higher['id']}", {"active": False})
    loop.wait_gone(org, higher)
    assert loop.fetched_ids(org, resolve=True) == [first["id"], elsewhere["id"]]


def test_a_cap_of_two_allows_no_third_time_and_counts_at_once(loop: Loop, org: Org) -> None:
    message = loop.post_message(org, frequencyCap={"maxImpressions": 2})
    loop.wait_visible(org, message)
    with loop.frozen("recorder"):
        for left in (True, False):
            loop.edge(f"in-app-messages/{message['id']}/impressions", {"userId": "ada"}, org)
            assert (message["id"] in loop.fetched_ids(org)) is left
    eventually(lambda: loop.stats(org)["impressions"] == 2)
    assert message["id"] not in loop.fetched_ids(org)


def test_the_free_plan_refuses_writes_and_keeps_serving(loop: Loop, org: Org) -> None:
    message = loop.post_message(org)
    loop.wait_visible(org, message)
    loop.command("org", "plan", org.org_id, "free")

    refused = loop.admin(org, "POST", "/in-app-messages", {"type": "banner", "content": {"body": "x"}})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "plan_required")
    assert loop.admin(org, "PATCH", f"/in-app-messages/{message['id']}", {"priority": 1}).status_code == 403
    assert loop.fetched_ids(org) == [message["id"]]
    assert loop.edge(f"in-app-messages/{message['id']}/impressions", {"userId": "ada"}, org).status_code == 200
    eventually(lambda: loop.stats(org)["impressions"] == 1)


def native_event(event_type: str, properties: dict[str, Any]) -> dict[str, Any]:
    """As Sendora's shipped native SDKs send it."""
    return {
        "projectId": "proj_1",
        "module": "custom",
        "eventType": event_type,
        "timestamp": "2026-01-02T03:04:05.678Z",
        "properties": properties,
        "context": {
            "device": {"type": "mobile", "os": "Android", "osVersion": "15", "model": "Pixel 9"},
            "sdk": {"name": "sendora-android", "version": "1.0.0"},
        },
        "sessionId": "5e0b6c1e-0d4f-4a53-9d5b-0f2f9e1c7a11",
        "consent": ["analytics"],
        "userId": "ada",
    }


def test_a_native_batch_sent_three_times_is_recorded_once_and_identifies(loop: Loop, org: Org) -> None:
    rule = {"trait": "plan", "op": "eq", "value": "free"}
    audience = loop.admin(org, "POST", "/audiences", {"name": "Free", "rule": rule}).json()["data"]
    message = loop.post_message(org, audienceId=audience["id"])
    everyone = loop.post_message(org, type="modal")
    loop.wait_visible(org, everyone)
    assert loop.fetched_ids(org) == [everyone["id"]]

    batch = [
        native_event("user.identified", {"plan": "free"}),
        native_event("in_app.impression", {"messageId": message["id"]}),
        native_event("report.exported", {"pages": 4}),
        native_event("report.exported", {"pages": 4}),
    ]
    for _ in range(3):
        answer = loop.edge("events/batch", {"events": batch}, org)
        assert answer.json()["data"] == {"accepted": 4, "rejected": []}
    assert message["id"] in loop.fetched_ids(org)

    eventually(lambda: loop.stats(org)["impressions"] == 1)
    customer = loop.admin(org, "GET", "/customers/ada").json()["data"]
    assert customer["traits"] == {"plan": "free"}
    preview = loop.admin(org, "POST", "/audiences/preview", {"rule": rule}).json()["data"]
    assert preview["count"] == 1
    assert count_events(loop, org) == {"user.identified": 1, "in_app.impression": 1, "report.exported": 2}


def count_events(loop: Loop, org: Org) -> dict[str, int]:
    events = tables.events.c
    counted = select(events.type, func.count()).where(events.org_id == UUID(org.org_id)).group_by(events.type)

    async def count() -> dict[str, int]:
        engine = create_engine(loop.environment["DATABASE_URL"])
        try:
            async with engine.connect() as connection:
                return {row[0]: row[1] for row in await connection.execute(counted)}
        finally:
            await engine.dispose()

    return asyncio.run(count())


def test_wrong_keys_and_other_orgs_learn_nothing(loop: Loop, org: Org) -> None:
    other = loop.create_org("Other")
    message = loop.post_message(org)
    loop.wait_visible(org, message)

    foreign = loop.admin(org, "GET", "/in-app-messages", key=other.secret_key)
    invented = Org("01890000-0000-7000-8000-000000000000", org.secret_key, org.public_key)
    unknown = loop.admin(invented, "GET", "/in-app-messages")
    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert without_request_id(foreign.json()) == without_request_id(unknown.json())
    assert loop.admin(org, "GET", "/in-app-messages", key=org.secret_key[:-1] + "!").status_code == 401
    assert (
        loop.edge("in-app-messages/fetch", {"apiKey": other.public_key, "userId": "ada"}).json()["data"]["messages"]
        == []
    )

    secret = loop.edge("in-app-messages/fetch", {"apiKey": org.secret_key})
    assert (secret.status_code, secret.json()["error"]["code"]) == (403, "secret_key_in_client")
    assert loop.edge("in-app-messages/fetch", {"apiKey": "pk_prod_wrong"}).status_code == 401


def without_request_id(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body["error"].items() if name != "requestId"}


def test_a_revoked_public_key_stops_working(loop: Loop, org: Org) -> None:
    message = loop.post_message(org)
    loop.wait_visible(org, message)
    listed = loop.admin(org, "GET", "/keys").json()["data"]
    public = next(key for key in listed if key["kind"] == "pk")
    assert loop.admin(org, "DELETE", f"/keys/{public['id']}").status_code == 200
    eventually(lambda: loop.edge("in-app-messages/fetch", {"userId": "ada"}, org).status_code == 401)
