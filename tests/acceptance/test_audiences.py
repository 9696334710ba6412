"""Audiences over what customers did, through the front: HTTP and the command line, with processes as processes."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.clocked_edge import ClockedEdge, start_clocked_edge
from tests.support.loop import Loop, Org
from tests.support.polling import eventually
from wire import times

DAY_MS = 86_400_000
ACTIVE_AND_FREE = {"all": [{"trait": "plan", "op": "eq", "value": "free"}, {"event": "*", "within": "14d"}]}
NEVER_CREATED = {"event": "project.created", "count": {"op": "eq", "value": 0}}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def clocked(loop: Loop, data_dir: Path) -> Iterator[ClockedEdge]:
    edge = start_clocked_edge(loop, data_dir, now_ms())
    yield edge
    edge.process.stop()


def post_audience(loop: Loop, org: Org, name: str, rule: object) -> str:
    answer = loop.admin(org, "POST", "/audiences", {"name": name, "rule": rule})
    assert answer.status_code == 201, answer.text
    id_: str = answer.json()["data"]["id"]
    return id_


def audience(loop: Loop, org: Org, id_: str) -> dict[str, Any]:
    answer = loop.admin(org, "GET", f"/audiences/{id_}")
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def counted(loop: Loop, org: Org, rule: object) -> int:
    count: int = loop.admin(org, "POST", "/audiences/preview", {"rule": rule}).json()["data"]["count"]
    return count


def post_live(loop: Loop, org: Org, **fields: Any) -> dict[str, Any]:
    """A message, once it is live: what its audiences ask about is gathered."""
    message = loop.post_message(org, **fields)
    path = f"/in-app-messages/{message['id']}"
    eventually(lambda: loop.admin(org, "GET", path).json()["data"]["status"] == "live")
    return message


def wait_loaded(clocked: ClockedEdge, org: Org, message: dict[str, Any], **who: Any) -> None:
    eventually(lambda: message["id"] in clocked.fetched_ids(org, **who))


def test_active_in_14_days_on_the_free_plan_from_the_first_event_to_the_end(
    loop: Loop, org: Org, clocked: ClockedEdge
) -> None:
    upgraders = post_audience(loop, org, "Active on the free plan", ACTIVE_AND_FREE)
    everyone = post_live(loop, org, content={"title": "All", "body": "For all"}, priority=1)
    prompt = post_live(loop, org, audienceId=upgraders)
    wait_loaded(clocked, org, everyone, userId="ada")
    opened_ms = now_ms()
    clocked.set_clock(opened_ms)
    assert prompt["id"] not in clocked.fetched_ids(org, userId="ada")

    clocked.track(org, "app.opened", userId="ada")
    assert prompt["id"] not in clocked.fetched_ids(org, userId="ada"), "active, but on no plan yet"
    clocked.track(org, "user.identified", userId="ada", properties={"plan": "free"})
    eventually(lambda: prompt["id"] in clocked.fetched_ids(org, userId="ada"))
    loop.wait_visible(org, prompt)
    eventually(lambda: audience(loop, org, upgraders)["memberCount"] == 1)

    clocked.set_clock(opened_ms + 14 * DAY_MS)
    last = clocked.fetch(org, userId="ada")
    assert prompt["id"] in [message["id"] for message in last["messages"]]
    assert last["validUntil"] == times.to_iso(opened_ms + 14 * DAY_MS + 1)
    clocked.set_clock(opened_ms + 14 * DAY_MS + 1)
    assert clocked.fetched_ids(org, userId="ada") == [everyone["id"]]

    clocked.track(org, "app.opened", userId="ada")
    assert prompt["id"] in clocked.fetched_ids(org, userId="ada")
    clocked.track(org, "user.identified", userId="ada", properties={"plan": "pro"})
    assert clocked.fetched_ids(org, userId="ada") == [everyone["id"]]


def test_who_never_created_a_project_is_nudged_until_they_do(loop: Loop, org: Org) -> None:
    newcomers = post_audience(loop, org, "No project yet", NEVER_CREATED)
    nudge = post_live(loop, org, audienceId=newcomers)
    loop.wait_visible(org, nudge, userId="grace")

    loop.edge("events", {"eventType": "project.created", "userId": "grace"}, org)

    assert nudge["id"] not in loop.fetched_ids(org, userId="grace")
    loop.wait_visible(org, nudge, userId="somebody-else")
    eventually(lambda: audience(loop, org, newcomers)["memberCount"] == 0)
    assert nudge["id"] not in loop.fetched_ids(org, userId="grace")


def test_an_audience_over_events_that_already_happened(loop: Loop, org: Org) -> None:
    events = [
        {"id": f"{user}-{time_}", "eventType": "report.exported", "userId": f"user-{user}", "properties": {"pages": 5}}
        for user in range(40)
        for time_ in range(user % 4)
    ]
    loop.edge("events/batch", {"events": events}, org)
    rule = {
        "event": "report.exported",
        "where": [{"property": "pages", "op": "gte", "value": 3}],
        "count": {"op": "gte", "value": 2},
        "within": "1d",
    }
    eventually(lambda: counted(loop, org, rule) == 20)

    exporters = post_audience(loop, org, "Exports a lot", rule)
    offer = post_live(loop, org, audienceId=exporters)
    loop.wait_visible(org, offer, userId="user-2")

    shown = [user for user in range(40) if offer["id"] in loop.fetched_ids(org, userId=f"user-{user}")]
    assert shown == [user for user in range(40) if user % 4 >= 2]
    assert (audience(loop, org, exporters)["status"], audience(loop, org, exporters)["memberCount"]) == ("ready", 20)
    assert "Exports a lot" in loop.command("audience", "list", org.org_id)
    loop.edge("events", {"eventType": "report.exported", "userId": "user-1", "properties": {"pages": 3}}, org)
    assert offer["id"] in loop.fetched_ids(org, userId="user-1")


def test_what_happens_at_one_edge_counts_at_another(loop: Loop, org: Org, clocked: ClockedEdge) -> None:
    buyers = post_audience(loop, org, "Bought", {"event": "order.paid"})
    thanks = post_live(loop, org, audienceId=buyers, excludeAudienceIds=[])
    assert thanks["id"] not in clocked.fetched_ids(org, userId="ada")
    loop.edge("events", {"eventType": "order.paid", "userId": "ada"}, org)
    wait_loaded(clocked, org, thanks, userId="ada")


def test_a_window_runs_out_with_every_other_process_stopped(loop: Loop, org: Org, clocked: ClockedEdge) -> None:
    active = post_audience(loop, org, "Active today", {"event": "*", "within": "24h"})
    asleep = post_live(loop, org, excludeAudienceIds=[active])
    awake = post_live(loop, org, audienceId=active)
    clocked.set_clock(opened_ms := now_ms())
    wait_loaded(clocked, org, asleep, userId="ada")
    clocked.track(org, "app.opened", userId="ada")
    eventually(lambda: clocked.fetched_ids(org, userId="ada") == [awake["id"]])
    with ExitStack() as stopped:
        for name in ("admin", "compiler", "recorder", "edge"):
            stopped.enter_context(loop.frozen(name))
        clocked.set_clock(opened_ms + DAY_MS)
        assert clocked.fetched_ids(org, userId="ada") == [awake["id"]]
        clocked.set_clock(opened_ms + DAY_MS + 1)
        assert clocked.fetched_ids(org, userId="ada") == [asleep["id"]]


def test_what_a_visitor_did_counts_for_the_user_from_the_first_fetch(
    loop: Loop, org: Org, clocked: ClockedEdge
) -> None:
    viewers = post_audience(
        loop, org, "Viewed pricing twice", {"event": "pricing.viewed", "count": {"op": "gte", "value": 2}}
    )
    offer = post_live(loop, org, audienceId=viewers, frequencyCap={"maxImpressions": 1})
    loop.edge("events", {"eventType": "pricing.viewed", "anonymousId": "device-1"}, org)
    loop.edge("events", {"eventType": "pricing.viewed", "userId": "ada"}, org)
    loop.edge("events", {"eventType": "user.identified", "userId": "ada", "anonymousId": "device-1"}, org)
    assert loop.fetched_ids(org, userId="ada") == [offer["id"]]
    eventually(lambda: clocked.fetched_ids(org, userId="ada") == [offer["id"]])


def test_a_goal_after_an_impression_is_a_conversion_once(loop: Loop, org: Org) -> None:
    goal = {
        "eventType": "plan.upgraded",
        "where": [{"property": "plan", "op": "eq", "value": "pro"}],
        "withinSeconds": 3600,
    }
    message = post_live(loop, org, goal=goal)
    loop.wait_visible(org, message)
    for user in ("ada", "grace"):
        loop.edge(f"in-app-messages/{message['id']}/impressions", {"userId": user}, org)
    for _ in range(3):
        loop.edge("events", {"eventType": "plan.upgraded", "userId": "ada", "properties": {"plan": "pro"}}, org)
    loop.edge("events", {"eventType": "plan.upgraded", "userId": "linus", "properties": {"plan": "pro"}}, org)
    loop.edge("events", {"eventType": "plan.upgraded", "userId": "grace", "properties": {"plan": "team"}}, org)
    eventually(lambda: loop.stats(org)["conversions"] == 1)
    stats = loop.admin(org, "GET", f"/in-app-messages/{message['id']}/stats").json()["data"]
    assert (stats["conversions"], stats["conversionRate"], stats["uniqueImpressions"]) == (1, 0.5, 2)


def test_an_erased_customer_leaves_nothing_and_a_late_batch_brings_nothing_back(loop: Loop, org: Org) -> None:
    buyers = post_audience(loop, org, "Bought", {"event": "order.paid"})
    thanks = post_live(loop, org, audienceId=buyers)
    loop.edge("events", {"eventType": "order.paid", "userId": "ada"}, org)
    loop.wait_visible(org, thanks)
    eventually(lambda: audience(loop, org, buyers)["memberCount"] == 1)

    with loop.frozen("recorder"):
        loop.edge("events", {"eventType": "order.paid", "userId": "ada"}, org)
        assert loop.admin(org, "DELETE", "/customers/ada").status_code == 202
    loop.wait_gone(org, thanks)
    eventually(lambda: loop.admin(org, "GET", "/customers/ada").status_code == 404)
    assert audience(loop, org, buyers)["memberCount"] == 0
    loop.edge("events", {"eventType": "app.opened", "userId": "ada"}, org)
    eventually(lambda: loop.admin(org, "GET", "/customers/ada").status_code == 200)
    assert audience(loop, org, buyers)["memberCount"] == 0
    assert thanks["id"] not in loop.fetched_ids(org)


def test_an_edited_audience_reaches_edges_like_an_edited_message(loop: Loop, org: Org) -> None:
    who = post_audience(loop, org, "Who", {"trait": "plan", "op": "eq", "value": "free"})
    message = post_live(loop, org, audienceId=who)
    loop.edge("events", {"eventType": "user.identified", "userId": "ada", "properties": {"plan": "pro"}}, org)
    assert message["id"] not in loop.fetched_ids(org)
    loop.admin(org, "PATCH", f"/audiences/{who}", {"rule": {"trait": "plan", "op": "eq", "value": "pro"}})
    loop.wait_visible(org, message, timeout=1.0)


def test_why_a_message_is_not_shown(loop: Loop, org: Org) -> None:
    upgraders = post_audience(loop, org, "Active on the free plan", ACTIVE_AND_FREE)
    prompt = post_live(loop, org, audienceId=upgraders)
    loop.edge("events", {"eventType": "user.identified", "userId": "ada", "properties": {"plan": "pro"}}, org)
    eventually(lambda: loop.admin(org, "GET", "/customers/ada").status_code == httpx.codes.OK)
    answer = loop.admin(org, "GET", f"/in-app-messages/{prompt['id']}/explain?customerId=ada").json()["data"]
    assert (answer["shown"], answer["reason"]) == (False, "not_in_audience")
    told = loop.command("message", "explain", org.org_id, prompt["id"], "--customer", "ada")
    assert "plan" in told
