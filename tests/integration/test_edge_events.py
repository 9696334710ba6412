"""Events through a running edge, with the recorder stopped: read your writes, and nothing acknowledged is lost."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from edge.ship import Shipper
from inapp.embedded import EmbeddedRedis
from tests.support.edges import RunningEdge, edge_on
from tests.support.polling import eventually_async
from tests.support.publishing import ONCE, Publisher, commit, entries, message, newer, rule, shipped
from tests.support.spooling import event
from wire import events, keys
from wire.userstate import Seen, UserState

pytestmark = pytest.mark.anyio


async def test_an_impression_counts_in_the_fetch_that_follows(org: Publisher, edge: RunningEdge) -> None:
    capped = message(cap=ONCE)
    org.everyone(capped)
    await org.publish()
    assert await edge.fetched(org, userId="ada") == [capped.id]
    await edge.see(org, capped.id, userId="ada")
    assert await edge.fetched(org, userId="ada") == []
    assert await edge.fetched(org, userId="bob") == [capped.id]


async def test_an_impression_still_counts_after_a_restart(redis_db: str, tmp_path: Path, org: Publisher) -> None:
    capped = message(cap=ONCE)
    org.everyone(capped)
    await org.publish()
    async with edge_on(redis_db, tmp_path) as edge:
        await edge.see(org, capped.id, userId="ada")
    async with edge_on(redis_db, tmp_path) as edge:
        assert await edge.fetched(org, userId="ada") == []


async def test_identifying_brings_along_what_the_anonymous_visitor_saw_and_is(
    org: Publisher, edge: RunningEdge
) -> None:
    capped, gold = message(cap=ONCE), message()
    org.everyone(capped)
    org.audience(rule("plan", "gold"), gold)
    await org.publish()
    await edge.see(org, capped.id, anonymousId="x")
    await edge.track(org, events.IDENTIFIED, anonymousId="x", properties={"plan": "gold"})
    assert await edge.fetched(org, anonymousId="x") == [gold.id]
    assert set(await edge.fetched(org, userId="ada")) == {capped.id}
    await edge.track(org, events.IDENTIFIED, userId="ada", anonymousId="x", properties={})
    assert await edge.fetched(org, userId="ada") == [gold.id]
    assert await edge.fetched(org, userId="ada", anonymousId="x") == [gold.id]


async def test_a_claim_that_the_state_lists_is_not_counted_twice(org: Publisher, edge: RunningEdge) -> None:
    twice = message(cap=ONCE.__class__(2, None, None, ()))
    org.everyone(twice)
    await org.publish()
    await edge.see(org, twice.id, anonymousId="x", timestamp="2026-01-01T00:00:00Z")
    await edge.track(org, events.IDENTIFIED, userId="ada", anonymousId="x", properties={})
    seen = {twice.id: Seen(1, recent_ms=(1767225600000,))}
    await org.project("a:x", UserState(rev=5, seen=seen))
    await org.project("u:ada", UserState(rev=6, seen=seen, aliases=frozenset({"x"})))

    async def is_given() -> bool:
        return await edge.fetched(org, userId="ada", anonymousId="x") == [twice.id]

    await eventually_async(is_given)


async def test_batches_reach_the_stream_and_leave_the_spool_once_they_are_committed(
    redis: Redis, org: Publisher, edge: RunningEdge
) -> None:
    org.everyone()
    await org.publish()
    await edge.track(org, "report.exported", userId="ada", properties={"pages": 3})

    async def in_stream() -> bool:
        return bool(await shipped(redis))

    await eventually_async(in_stream)
    (batch,) = await commit(redis, edge.parts.spool.id)
    (event,) = batch.events
    assert (event.type, event.user_id, event.properties) == ("report.exported", "ada", b'{"pages":3}')

    async def spool_is_empty() -> bool:
        return edge.parts.spool.bytes == 0 and not await redis.exists(keys.committed(edge.parts.spool.id))

    await eventually_async(spool_is_empty)
    assert await shipped(redis) == []


async def test_the_overlay_goes_once_a_committed_state_was_read_again(
    redis: Redis, org: Publisher, edge: RunningEdge
) -> None:
    capped = message(cap=ONCE)
    org.everyone(capped)
    await org.publish()
    await edge.see(org, capped.id, userId="ada")
    assert await edge.fetched(org, userId="ada") == []

    async def is_committed() -> bool:
        batches = await shipped(redis)
        if batches:
            # Projected, then marked, without an announcement: the mark alone must have the state read again.
            seen = Seen(1, recent_ms=(batches[0].events[0].occurred_ms,))
            await org.project("u:ada", UserState(rev=1, seen={capped.id: seen}), announce=False)
            await commit(redis, edge.parts.spool.id)
        return bool(batches)

    await eventually_async(is_committed)

    async def overlay_is_gone() -> bool:
        assert await edge.fetched(org, userId="ada") == []
        return len(edge.parts.overlay) == 0

    await eventually_async(overlay_is_gone)
    assert await edge.fetched(org, userId="ada") == []


async def test_what_a_flush_took_from_redis_is_sent_again(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    async with Redis.from_url(own_redis.url) as redis, edge_on(own_redis.url, tmp_path) as edge:
        org = Publisher(redis)
        org.everyone()
        await org.publish()
        for number in range(5):
            await edge.track(org, "clicked", userId="ada", id=str(number))

        async def all_there() -> bool:
            return sum(len(batch.events) for batch in await shipped(redis)) == 5

        await eventually_async(all_there)
        before = {event.id for batch in await shipped(redis) for event in batch.events}
        await redis.flushall()
        await eventually_async(all_there)
        assert {event.id for batch in await shipped(redis) for event in batch.events} == before


async def test_what_is_lost_behind_an_entry_that_is_still_there_is_sent_again(
    own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    async with Redis.from_url(own_redis.url) as redis, edge_on(own_redis.url, tmp_path) as edge:
        org = Publisher(redis)
        org.everyone()
        await org.publish()
        for number in range(3):
            await edge.track(org, "clicked", userId="ada", id=str(number))

        async def all_there() -> bool:
            return sum(len(batch.events) for batch in await shipped(redis)) == 3

        await eventually_async(all_there)
        stream = keys.events(keys.event_shard(edge.parts.spool.id))
        await redis.xdel(stream, (await entries(redis, stream))[-1][0])
        edge.parts.shipper.check_soon()
        await eventually_async(all_there)


async def test_the_oldest_entry_going_missing_is_noticed(redis: Redis, org: Publisher, edge: RunningEdge) -> None:
    org.everyone()
    await org.publish()
    await edge.track(org, "clicked", userId="ada")
    stream = keys.events(keys.event_shard(edge.parts.spool.id))

    async def is_there() -> bool:
        return len(await entries(redis, stream)) == 1

    await eventually_async(is_there)
    await redis.xdel(stream, (await entries(redis, stream))[0][0])
    await eventually_async(is_there)


async def test_what_is_in_the_spool_at_the_end_is_sent(
    redis: Redis, redis_db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shipper, "run", lambda self: asyncio.Event().wait())  # too late for it to be shipped as usual
    async with edge_on(redis_db, tmp_path) as edge:
        await edge.parts.spool.append([event("last")])
    assert [each.type for batch in await shipped(redis) for each in batch.events] == ["last"]


async def test_a_restart_sends_only_what_is_neither_in_the_stream_nor_committed(
    redis: Redis, redis_db: str, tmp_path: Path, org: Publisher
) -> None:
    org.everyone()
    await org.publish()
    async with edge_on(redis_db, tmp_path) as edge:
        for number in range(3):
            await edge.track(org, "clicked", userId="ada", id=str(number))
        spool = edge.parts.spool.id
    stream = keys.events(keys.event_shard(spool))
    first, second, _ = await entries(redis, stream)  # flushed at the end
    await redis.xdel(stream, first[0], second[0])
    await redis.sadd(keys.committed(spool), 1)
    async with edge_on(redis_db, tmp_path) as edge:

        async def settled() -> bool:
            return sorted(batch.number for batch in await shipped(redis)) == [2, 3]

        await eventually_async(settled)
        assert edge.parts.spool.id == spool


async def test_events_are_accepted_while_redis_is_dead_and_shipped_when_it_is_back(
    own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    async with Redis.from_url(own_redis.url) as redis, edge_on(own_redis.url, tmp_path) as edge:
        org = Publisher(redis)
        capped = message(cap=ONCE)
        org.everyone(capped)
        await org.publish()
        await org.mark_projected()
        assert await edge.fetched(org, userId="ada") == [capped.id]
        own_redis.stop()
        await edge.see(org, capped.id, userId="ada")
        assert await edge.fetched(org, userId="ada") == []
        own_redis.start()
        await redis.connection_pool.disconnect()

        async def arrived() -> bool:
            return [event.type for batch in await shipped(redis) for event in batch.events] == [events.IMPRESSION]

        await eventually_async(arrived, timeout=20)


async def test_a_full_spool_refuses_events_and_harms_no_fetch(redis_db: str, tmp_path: Path, org: Publisher) -> None:
    org.everyone(message())
    await org.publish()
    async with edge_on(redis_db, tmp_path, spool_max_bytes=2_000) as edge:
        answers = [
            await edge.post("events", org.body(eventType="a", userId="ada", properties={"text": "x" * 500}))
            for _ in range(5)
        ]
        refused = [answer for answer in answers if answer.status_code == 503]
        assert refused and answers[0].status_code == 200
        assert refused[0].json()["error"]["code"] == "spool_full"
        assert int(refused[0].headers["Retry-After"]) > 0
        assert len(await edge.fetched(org, userId="ada")) == 1


async def test_one_bad_event_does_not_hold_up_the_others(redis: Redis, org: Publisher, edge: RunningEdge) -> None:
    org.everyone()
    await org.publish()
    deep: Any = "bottom"
    for _ in range(100):
        deep = [deep]
    good = {"eventType": "ok", "userId": "ada", "properties": {}}
    bad = [
        {**good, "properties": {"text": "a\0b"}},
        {**good, "properties": {"deep": deep}},
        {"userId": "ada"},
        {**good, "timestamp": "2999-01-01T00:00:00Z"},
        {**good, "userId": "x" * 257},
        {"eventType": "ok"},
        "not an event",
        {**good, "properties": {"n": 2**60}},
    ]
    answer = await edge.post("events/batch", org.body(events=[good, *bad, {**good, "eventType": "ok.too"}]))
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert data["accepted"] == 2
    assert [(each["index"], each["code"]) for each in data["rejected"]] == [
        (1, "nul_character"), (2, "too_deep"), (3, "event_type_missing"), (4, "timestamp_in_future"),
        (5, "id_too_long"), (6, "subject_missing"), (7, "invalid_event"), (8, "integer_out_of_range"),
    ]  # fmt: skip
    assert all(each["message"] for each in data["rejected"])


async def test_half_a_surrogate_pair_spoils_only_its_own_event(org: Publisher, edge: RunningEdge) -> None:
    org.everyone()
    await org.publish()
    body = (
        b'{"apiKey":"%b","events":[{"eventType":"a","userId":"ada","properties":{"t":"\\ud800"}},'
        b'{"eventType":"b","userId":"ada"}]}' % org.key.encode()
    )
    for content_type in ("application/json", "text/plain"):
        answer = await edge.http.post("/api/v1/events/batch", content=body, headers={"Content-Type": content_type})
        data = answer.json()["data"]
        assert data["accepted"] == 1
        assert [(each["index"], each["code"]) for each in data["rejected"]] == [(0, "lone_surrogate")]


async def test_native_events_sent_three_times_are_one(redis: Redis, org: Publisher, edge: RunningEdge) -> None:
    org.everyone()
    await org.publish()
    event = {
        "projectId": "p", "module": "analytics", "eventType": "screen.viewed",
        "timestamp": "2026-01-02T03:04:05.678Z", "properties": {"name": "Home"},
        "context": {"device": {"os": "ios"}, "sdk": {"version": "1"}}, "sessionId": "s-1", "consent": ["analytics"],
    }  # fmt: skip
    for _ in range(3):
        answer = await edge.http.post("/api/v1/events/batch", json={"events": [event]}, headers={"X-API-Key": org.key})
        assert answer.json()["data"] == {"accepted": 1, "rejected": []}

    async def arrived() -> bool:
        return len([event for batch in await shipped(redis) for event in batch.events]) == 3

    await eventually_async(arrived)
    recorded = [event for batch in await shipped(redis) for event in batch.events]
    assert len({event.id for event in recorded}) == 1
    assert {event.subject for event in recorded} == {"a:s-1"}


async def test_the_shorthand_routes_are_events_about_the_message(
    redis: Redis, org: Publisher, edge: RunningEdge
) -> None:
    org.everyone()
    await org.publish()
    message_id = str(uuid4())
    for action in ("impressions", "clicks", "dismissals"):
        body = org.body(userId="ada", properties={"button": "cta"}, sdkVersion="9")
        assert (await edge.post(f"in-app-messages/{message_id}/{action}", body)).json()["data"]["accepted"] == 1

    async def arrived() -> bool:
        return len([event for batch in await shipped(redis) for event in batch.events]) == 3

    await eventually_async(arrived)
    recorded = [event for batch in await shipped(redis) for event in batch.events]
    assert [event.type for event in recorded] == [events.IMPRESSION, events.CLICKED, events.DISMISSED]
    assert recorded[0].properties == b'{"button":"cta","messageId":"%b"}' % message_id.encode()
    answer = await edge.post("in-app-messages/no-uuid/impressions", org.body(userId="ada"))
    assert answer.json()["data"]["rejected"][0]["code"] == "message_id_missing"
    assert (await edge.post(f"in-app-messages/{message_id}/likes", org.body(userId="ada"))).status_code in (404, 422)


async def test_traits_just_sent_change_the_next_fetch(org: Publisher, edge: RunningEdge) -> None:
    gold = message()
    org.audience(rule("plan", "gold"), gold)
    await org.publish()
    await org.project("u:ada", newer(UserState(), traits={"plan": "free"}, stamps={"plan": (1, b"a")}))
    assert await edge.fetched(org, userId="ada") == []
    await edge.track(org, events.IDENTIFIED, userId="ada", properties={"plan": "gold"})
    assert await edge.fetched(org, userId="ada") == [gold.id]
