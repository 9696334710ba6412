"""Customers and server-side events, on their way through the inbox."""

import asyncio
import uuid
from collections.abc import Iterable
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from engine.features import features_of
from store import inbox, tables
from tests.support.admin_api import NOW_MS, Api
from tests.support.recorder_world import World, at_work
from wire import codec
from wire.rules import parse_rule

pytestmark = pytest.mark.anyio


async def test_an_upsert_answers_with_the_customer_once_it_is_applied(api: Api, world: World) -> None:
    async with at_work(world.inbox):
        customer = await api.data("PUT", "/customers/ada", {"traits": {"plan": "free", "tags": ["a", 1]}}, status=200)
    assert (customer["userId"], customer["traits"]) == ("ada", {"plan": "free", "tags": ["a", 1]})
    assert (customer["aliases"], customer["messages"]) == ([], [])
    assert await api.data("GET", "/customers/ada") == customer


@pytest.mark.usefixtures("soon_away")
async def test_an_upsert_is_an_event_of_its_own_type_in_the_inbox(api: Api) -> None:
    assert await api.data("PUT", "/customers/a%2Fb", {"traits": {"plan": None}}, status=202) == {"accepted": True}
    (event,) = await _inbox_events(api)
    assert (event.type, event.subject, event.received_ms) == ("customer.updated", "u:a/b", NOW_MS)
    assert codec.from_json(event.properties) == {"plan": None}


async def test_waiting_for_the_recorder_holds_no_connection(api: Api) -> None:
    waiting = [asyncio.create_task(api.call("PUT", f"/customers/{n}", {"traits": {}})) for n in range(25)]
    await asyncio.sleep(0.3)
    async with asyncio.timeout(1.5):
        assert await api.data("GET", "")
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {202}


async def test_every_problem_of_traits_is_in_one_answer(api: Api) -> None:
    deep: Any = 1
    for _ in range(9):
        deep = [deep]
    traits = {"": 1, "x" * 129: 1, "nul": "\0", "big": 2**53 + 1, "deep": deep, "ok": {"a": [1, "x", None]}}
    assert await api.problems("PUT", f"/customers/{'x' * 257}", {"traits": traits, "plan": 1}) == {
        ("/path/userId", "too_long"),
        ("/traits/", "too_short"),
        ("/traits/" + "x" * 128, "too_long"),
        ("/traits/nul", "nul_character"),
        ("/traits/big", "integer_out_of_range"),
        ("/traits/deep", "too_deep"),
        ("/plan", "unknown_field"),
    }
    many = {f"t{number}": 1 for number in range(201)}
    assert await api.problems("PUT", "/customers/ada", {"traits": many}) == {("/traits", "too_long")}
    large = {"t": "x" * 33_000}
    assert await api.problems("PUT", "/customers/ada", {"traits": large}) == {("/traits", "too_large")}
    assert await api.problems("PUT", "/customers/ada", {"traits": []}) == {("/traits", "wrong_type")}
    assert await api.rows(select(tables.inbox)) == []


async def test_an_import_takes_the_good_and_lists_the_bad(api: Api) -> None:
    customers: list[Any] = [
        {"userId": "ada", "traits": {"plan": "free"}},
        5,
        {"userId": ""},
        {"userId": "grace", "traits": {"x": "\0"}},
        {"userId": "linus", "traits": {"t": "x" * 33_000}},
        {"userId": "linus", "admin": True},
        {"userId": "linus", "traits": []},
        {"userId": "edsger"},
    ]
    answer = await api.data("POST", "/customers/bulk", {"customers": customers}, status=202)
    assert answer["accepted"] == 2
    assert [(item["index"], item["code"]) for item in answer["rejected"]] == [
        (1, "wrong_type"),
        (2, "too_short"),
        (3, "nul_character"),
        (4, "too_large"),
        (5, "unknown_field"),
        (6, "wrong_type"),
    ]
    assert [event.user_id for event in await _inbox_events(api)] == ["ada", "edsger"]
    too_many = [{"userId": str(number)} for number in range(1_001)]
    assert await api.problems("POST", "/customers/bulk", {"customers": too_many}) == {("/customers", "too_long")}
    assert await api.problems("POST", "/customers/bulk", {}) == {("/customers", "missing_field")}


async def test_of_entries_for_one_customer_in_one_import_the_later_wins(api: Api, world: World) -> None:
    names = [f"c{number}" for number in range(20)]
    customers = [{"userId": name, "traits": {"n": n}} for n in range(3) for name in names]
    await api.data("POST", "/customers/bulk", {"customers": customers}, status=202)
    ids = [event.id for event in await _inbox_events(api)]
    assert ids == sorted(set(ids))
    await world.inbox.work_off()
    for name in names:
        assert (await api.data("GET", f"/customers/{name}"))["traits"] == {"n": 2}


async def test_who_was_only_entered_has_not_been_seen_and_an_upsert_does_not_move_it(api: Api, world: World) -> None:
    async with at_work(world.inbox):
        assert (await api.data("PUT", "/customers/ada", {"traits": {}}, status=200))["lastSeenAt"] is None
        event = {"eventType": "app.opened", "userId": "ada", "timestamp": NOW_MS - 5_000}
        await api.data("POST", "/events", {"events": [event]}, status=202)
        seen = await api.data("PUT", "/customers/ada", {"traits": {"plan": "pro"}}, status=200)
    assert (seen["traits"], seen["lastSeenAt"]) == ({"plan": "pro"}, "2026-05-28T20:26:35.000Z")


async def test_the_type_of_upserts_cannot_be_tracked(api: Api) -> None:
    events = [{"eventType": "customer.updated", "userId": "ada"}, {"eventType": "app.opened", "userId": "ada"}]
    answer = await api.data("POST", "/events", {"events": events}, status=202)
    assert [(item["index"], item["code"]) for item in answer["rejected"]] == [(0, "event_type_reserved")]
    assert answer["accepted"] == 1


async def test_a_customer_is_shown_with_aliases_and_messages(api: Api) -> None:
    await api.add_customer("u:ada", {"plan": "free"})
    message = await api.data("POST", "/in-app-messages", {"type": "banner", "content": {"body": "Hello"}})
    org = {"org_id": api.org.org_id, "subject": "u:ada"}
    alias = {"anonymous_id": "v1", "claimed_ms": NOW_MS}
    await api.execute(insert(tables.customer_aliases).values(**org, **alias))
    counts = {"impressions": 2, "clicks": 1, "recent_ms": [NOW_MS, NOW_MS - 1]}
    await api.execute(insert(tables.message_user_state).values(**org, message_id=message["id"], **counts))
    goal = {"event_id": uuid.uuid4(), "occurred_ms": NOW_MS + 1}
    await api.execute(insert(tables.in_app_message_conversions).values(**org, message_id=message["id"], **goal))
    customer = await api.data("GET", "/customers/ada")
    assert customer == {
        "userId": "ada",
        "traits": {"plan": "free"},
        "createdAt": "2026-05-28T20:26:40.000Z",
        "lastSeenAt": "2026-05-28T20:26:40.000Z",
        "aliases": ["v1"],
        "audiences": [],
        "preparing": [],
        "recentEvents": [],
        "messages": [
            {
                "messageId": message["id"],
                "name": "banner",
                "impressions": 2,
                "clicks": 1,
                "dismissals": 0,
                "lastImpressionAt": "2026-05-28T20:26:40.000Z",
                "convertedAt": "2026-05-28T20:26:40.001Z",
            }
        ],
    }


async def test_somebody_elses_conversion_is_not_shown(api: Api) -> None:
    await api.add_customer("u:ada")
    message = (await api.data("POST", "/in-app-messages", {"type": "banner", "content": {"body": "Hello"}}))["id"]
    org = {"org_id": api.org.org_id, "message_id": message}
    await api.execute(insert(tables.message_user_state).values(**org, subject="u:ada", impressions=1))
    goal = {"event_id": uuid.uuid4(), "occurred_ms": NOW_MS}
    await api.execute(insert(tables.in_app_message_conversions).values(**org, subject="u:grace", **goal))
    (seen,) = (await api.data("GET", "/customers/ada"))["messages"]
    assert seen["convertedAt"] is None


async def test_the_newest_events_are_shown_of_whatever_type(api: Api) -> None:
    await api.add_customer("u:ada")
    other = await api.new_org()
    types = ("b.page", "a.report", "c.rare")
    rows = [_event(api, "u:ada", types[n % 2], NOW_MS + 2 * n, {"n": n}) for n in range(120)]
    rows += [_event(api, "u:ada", types[2], NOW_MS + 2 * 118 + 1, {"n": "rare"})]
    rows += [_event(api, "u:grace", "theirs", NOW_MS + 900, {}), _event(other, "u:ada", "theirs", NOW_MS + 900, {})]
    await api.execute(insert(tables.events).values(rows))
    recent = (await api.data("GET", "/customers/ada"))["recentEvents"]
    assert [event["properties"]["n"] for event in recent] == [119, "rare", *range(118, 70, -1)]
    assert recent[0] == {
        "type": "a.report",
        "occurredAt": "2026-05-28T20:26:40.238Z",
        "receivedAt": "2026-05-28T20:26:41.238Z",
        "properties": {"n": 119},
    }


async def test_the_audiences_that_a_customer_is_in_are_those_of_this_moment(api: Api) -> None:
    await api.add_customer("u:ada", {"plan": "free"})
    free = {"trait": "plan", "op": "eq", "value": "free"}
    lately = {"event": "report.exported", "within": "7d"}
    await _audience(api, "Free", free)
    await _audience(api, "Paying", {"not": free})
    active = await _audience(api, "Active and free", {"all": [free, lately]})
    await _audience(api, "Not active", {"not": {"audience": active}})
    await _audience(api, "Never", {"event": "checkout.viewed", "count": {"op": "eq", "value": 0}})
    listed, _ = await _audience(api, "Listed"), await _audience(api, "Not listed")
    await api.execute(
        insert(tables.audience_members).values(org_id=api.org.org_id, audience_id=listed, subject="u:ada")
    )
    shown = await api.data("GET", "/customers/ada")
    assert _names(shown["audiences"]) == ["Free", "Listed"]
    assert _names(shown["preparing"]) == ["Active and free", "Never", "Not active"]
    await api.execute(update(tables.audiences).values(preparing=False))
    (ring,) = features_of([parse_rule(lately)])
    happened = {"subject": "u:ada", "feature_id": ring, "recent_ms": [NOW_MS]}
    await api.execute(insert(tables.event_rings).values(org_id=api.org.org_id, **happened))
    shown = await api.data("GET", "/customers/ada")
    assert shown["audiences"][0] == {"id": active, "name": "Active and free"}
    assert _names(shown["audiences"]) == ["Active and free", "Free", "Listed", "Never"]
    assert shown["preparing"] == []
    api.clock.now_ms += 7 * 24 * 3_600_000
    assert "Active and free" in _names((await api.data("GET", "/customers/ada"))["audiences"])
    api.clock.now_ms += 1
    assert _names((await api.data("GET", "/customers/ada"))["audiences"]) == ["Free", "Listed", "Never", "Not active"]


async def test_a_changed_rule_counts_at_once(api: Api) -> None:
    await api.add_customer("u:ada", {"beta": True})
    made = await _audience(api, "A", {"trait": "beta", "op": "eq", "value": 1})
    assert (await api.data("GET", "/customers/ada"))["audiences"] == []
    await api.data("PATCH", f"/audiences/{made}", {"rule": {"trait": "beta", "op": "eq", "value": True}})
    assert _names((await api.data("GET", "/customers/ada"))["audiences"]) == ["A"]
    other = await api.new_org()
    await other.add_customer("u:ada", {"beta": True})
    assert (await other.data("GET", "/customers/ada"))["audiences"] == []


async def test_a_rule_that_cannot_be_used_leaves_the_customer_readable(api: Api) -> None:
    await api.add_customer("u:ada", {"plan": "free"})
    free = {"trait": "plan", "op": "eq", "value": "free"}
    await _audience(api, "Good", free)
    broken = await _audience(api, "Broken", free)
    await _audience(api, "Upon", {"not": {"audience": broken}})
    await api.execute(update(tables.audiences).where(tables.audiences.c.name == "Broken").values(rule={"near": 1}))
    shown = await api.data("GET", "/customers/ada")
    assert (_names(shown["audiences"]), shown["preparing"]) == (["Good"], [])


async def test_an_unknown_customer_is_not_found_whatever_the_id(api: Api) -> None:
    other = await api.new_org()
    await other.add_customer("u:theirs")
    await api.add_customer("a:visitor")
    for user_id in ("nobody", "theirs", "visitor", "%00", "x" * 300, "a/b"):
        assert (await api.error("GET", f"/customers/{user_id}", status=404))["code"] == "not_found"


async def test_the_list_is_paged_and_searched_by_how_ids_begin(api: Api) -> None:
    for subject in ("u:ada", "u:adam", "u:a_b", "u:bob", "a:adx"):
        await api.add_customer(subject)
    other = await api.new_org()
    await other.add_customer("u:adele")

    async def ids(query: str) -> list[str]:
        page = await api.data("GET", f"/customers?{query}")
        found = [item.get("userId") or item["anonymousId"] for item in page["items"]]
        return found + (await ids(f"{query}&cursor={page['nextCursor']}") if page["nextCursor"] else [])

    assert await ids("limit=2") == ["adx", "a_b", "ada", "adam", "bob"]
    assert await ids("q=ad&limit=1") == ["adx", "ada", "adam"]
    assert await ids("q=a_") == ["a_b"]
    assert await ids("q=%25") == []


async def test_erasing_is_asked_of_the_recorder(api: Api, world: World) -> None:
    await api.add_customer("u:ada")
    assert await api.data("DELETE", "/customers/ada", status=202) == {"accepted": True}
    (row,) = await api.rows(select(tables.inbox))
    assert (row.kind, row.body) == (inbox.ERASE, {"subject": "u:ada", "erasedMs": NOW_MS})
    async with at_work(world.inbox):
        assert await api.data("DELETE", "/customers/ada", status=200) == {"userId": "ada"}
        await api.error("GET", "/customers/ada", status=404)


async def test_erasing_takes_what_was_counted_and_kept_of_events_too(world: World) -> None:
    row = {"org_id": world.org_id, "subject": "u:ada"}
    await world.record(world.event("report.exported", "ada"))
    ring = {"feature_id": "0" * 16, "recent_ms": [1]}
    await world.execute(insert(tables.event_rings), **row, **ring)
    goal = {"message_id": uuid.uuid4(), "event_id": uuid.uuid4(), "occurred_ms": 1}
    await world.execute(insert(tables.in_app_message_conversions), **row, **goal)
    await world.ask_erase("u:ada")
    for table in ("event_rings", "in_app_message_conversions", "events"):
        assert await world.count(table) == 0, table


async def test_events_are_taken_one_by_one(api: Api) -> None:
    events: list[Any] = [
        {"eventType": "order.paid", "userId": "ada", "id": "1", "properties": {"amount": 49}},
        {"eventType": "order.paid", "userId": "ada", "properties": {"x": "\0"}},
        {"userId": "ada"},
        {"eventType": "page.viewed", "anonymousId": "v1", "timestamp": "2026-05-28T20:00:00Z"},
    ]
    answer = await api.data("POST", "/events", {"events": events}, status=202)
    assert answer["accepted"] == 2
    assert [(item["index"], item["code"]) for item in answer["rejected"]] == [
        (1, "nul_character"),
        (2, "event_type_missing"),
    ]
    assert [(event.type, event.subject) for event in await _inbox_events(api)] == [
        ("order.paid", "u:ada"),
        ("page.viewed", "a:v1"),
    ]
    too_many = [{"eventType": "x", "userId": "ada"}] * 501
    assert await api.problems("POST", "/events", {"events": too_many}) == {("/events", "too_long")}


async def test_nothing_accepted_means_nothing_written(api: Api) -> None:
    before = await api.data("GET", "/audit-log")
    assert (await api.data("POST", "/events", {"events": [{}]}))["accepted"] == 0
    assert (await api.data("POST", "/customers/bulk", {"customers": [{}]}))["accepted"] == 0
    assert await api.rows(select(tables.inbox)) == []
    assert await api.data("GET", "/audit-log") == before


async def _audience(api: Api, name: str, rule: dict[str, Any] | None = None) -> str:
    made: str = (await api.data("POST", "/audiences", {"name": name, "rule": rule}))["id"]
    return made


def _names(audiences: Iterable[dict[str, Any]]) -> list[str]:
    return [audience["name"] for audience in audiences]


def _event(api: Api, subject: str, type_: str, at_ms: int, properties: dict[str, Any]) -> dict[str, Any]:
    """A row of `events`, received a second after it occurred."""
    org = {"org_id": api.org.org_id, "id": uuid.uuid4(), "subject": subject}
    moments = {"occurred_ms": at_ms, "received_ms": at_ms + 1_000}
    return {**org, **moments, "type": type_, "properties": properties, "context": {}}


async def _inbox_events(api: Api) -> list[Any]:
    rows = await api.rows(select(tables.inbox).order_by(tables.inbox.c.id))
    return [event for row in rows for event in inbox.events_of(row.body)]
