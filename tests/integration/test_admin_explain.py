"""Why a message is shown to a customer now, or not: every reason, and agreement with an edge."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text, update

from admin.explain.example import EXAMPLE
from compiler.compile import compile_org
from compiler.lease import Lease
from compiler.publish import publish
from compiler.snapshot import take_snapshot
from store import tables
from tests.support.admin_api import NOW_MS, Api
from tests.support.edges import edge_on
from tests.support.gathering import gather
from tests.support.publishing import Publisher
from tests.support.recorder_world import World
from wire import events, times

pytestmark = pytest.mark.anyio

MINUTE_MS = 60_000
DAY_MS = 86_400_000
BANNER: dict[str, Any] = {"type": "banner", "content": {"body": "Hello"}, "name": "Greeting"}
IS_FREE = {"trait": "plan", "op": "eq", "value": "free"}
THRICE = {"event": "checkout.viewed", "count": {"op": "gte", "value": 3}, "within": "7d"}


@dataclass
class Scene:
    """An org with the messages and customers of one test."""

    api: Api
    world: World

    async def message(self, **fields: Any) -> str:
        made: str = (await self.api.data("POST", "/in-app-messages", {**BANNER, **fields}))["id"]
        return made

    async def audience(self, rule: Any, name: str = "Free") -> str:
        made: str = (await self.api.data("POST", "/audiences", {"name": name, "rule": rule}))["id"]
        return made

    async def identify(self, user: str = "ada", **traits: Any) -> None:
        await self.world.record(self.world.identify(user, at_ms=NOW_MS, properties=traits))

    async def did(self, type_: str, *at_ms: int, user: str = "ada") -> None:
        await self.world.record(*(self.world.event(type_, user, at_ms=at) for at in at_ms))

    async def about(self, message_id: str, type_: str = events.IMPRESSION, at_ms: int = NOW_MS) -> None:
        await self.world.record(self.world.about(UUID(message_id), type_, "ada", at_ms=at_ms))

    async def explain(self, message_id: str, **query: Any) -> dict[str, Any]:
        asked = urlencode({"customerId": "ada", **query})
        data: dict[str, Any] = await self.api.data("GET", f"/in-app-messages/{message_id}/explain?{asked}")
        return data

    async def failing(self, message_id: str, **query: Any) -> dict[str, Any]:
        """The one check that fails."""
        explained = await self.explain(message_id, **query)
        (check,) = [check for check in explained["checks"] if not check["passes"]]
        assert (explained["shown"], explained["reason"]) == (False, check["reason"])
        assert check["text"] in explained["summary"]
        found: dict[str, Any] = check
        return found


@pytest.fixture
def scene(api: Api, world: World) -> Scene:
    world.org_id = api.org.org_id
    return Scene(api, world)


async def test_a_message_that_is_shown_passes_every_rule(scene: Scene) -> None:
    message_id = await scene.message(trigger={"delaySeconds": 5})
    await scene.identify()
    explained = await scene.explain(message_id)
    assert [check["check"] for check in explained["checks"]] == [
        "status", "window", "audience", "excluded_audiences", "trigger_audience",
        "url", "screen", "event", "frequency_cap", "slot",
    ]  # fmt: skip
    assert all(check["passes"] and check["reason"] is None for check in explained["checks"])
    del explained["checks"]
    assert explained == {
        "shown": True,
        "reason": None,
        "summary": "It is shown, 5 s after it is triggered.",
        "at": times.to_iso(NOW_MS),
        "changesAt": None,
        "delaySeconds": 5,
        "customer": "known",
        "notes": [],
    }


async def test_of_a_customer_nobody_knows_it_says_so(scene: Scene) -> None:
    message_id = await scene.message(audienceId=await scene.audience(IS_FREE))
    for query in ({"customerId": "nobody"}, {"customerId": ""}, {"customerId": "", "anonymousId": "x"}):
        explained = await scene.explain(message_id, **query)
        assert (explained["customer"], explained["reason"]) == ("unknown", "not_in_audience")
        assert [note["code"] for note in explained["notes"]] == ["customer_unknown"]
        assert "plan is not set; it would have to be “free”." in explained["summary"]


async def test_nobody_in_particular_is_somebody_new(scene: Scene) -> None:
    message_id = await scene.message(audienceId=await scene.audience({"not": IS_FREE}, "Not free"))
    explained = await scene.api.data("GET", f"/in-app-messages/{message_id}/explain")
    assert (explained["shown"], explained["customer"]) == (True, "unknown")


async def test_the_example_in_the_openapi_document_is_a_real_answer(scene: Scene) -> None:
    audience_id = await scene.audience(IS_FREE)
    trigger = {"delaySeconds": 5, "url": {"op": "starts_with", "value": "https://app.example.com/pricing"}}
    message_id = await scene.message(audienceId=audience_id, trigger=trigger, frequencyCap={"maxImpressions": 3})
    await scene.identify(plan="pro")
    answer = json.dumps(await scene.explain(message_id))
    assert json.loads(answer.replace(audience_id, "019b7f5e-0000-7000-8000-000000000002")) == EXAMPLE
    document = (await scene.api.client.get("/openapi.json")).json()
    (documented,) = document["components"]["schemas"]["Explanation"]["examples"]
    assert documented["summary"] == EXAMPLE["summary"]


async def test_every_kind_of_details_and_every_parameter_is_documented(scene: Scene) -> None:
    document = (await scene.api.client.get("/openapi.json")).json()
    kinds = document["components"]["schemas"]["Check"]["properties"]["details"]["anyOf"]
    assert {kind["$ref"].rpartition("/")[2] for kind in kinds} == {
        "StatusDetails", "WindowDetails", "AudiencesDetails", "PlaceDetails", "EventDetails", "CapDetails",
        "SlotDetails",
    }  # fmt: skip
    (path,) = [path for path in document["paths"] if path.endswith("/explain")]
    asked = [each for each in document["paths"][path]["get"]["parameters"] if each["in"] == "query"]
    assert {each["name"] for each in asked} == {"customerId", "anonymousId", "url", "screen", "event"}
    assert all(each["description"] and each["schema"]["examples"] for each in asked), asked


# The status


async def test_a_draft(scene: Scene) -> None:
    check = await scene.failing(await scene.message(draft=True))
    assert (check["check"], check["reason"]) == ("status", "draft")


async def test_a_paused_message(scene: Scene) -> None:
    message_id = await scene.message(active=False)
    assert (await scene.failing(message_id))["reason"] == "paused"


async def test_an_archived_message_that_was_paused_names_both(scene: Scene) -> None:
    message_id = await scene.message(active=False)
    await scene.api.data("POST", f"/in-app-messages/{message_id}/archive")
    check = await scene.failing(message_id)
    assert (check["reason"], check["details"]["reasons"]) == ("archived", ["archived", "paused"])


async def test_a_message_with_problems_shows_them_and_nothing_else(scene: Scene) -> None:
    message_id = await scene.message()
    problem = {"pointer": "/content/body", "code": "missing_field", "message": "This is required."}
    await scene.api.execute(update(tables.in_app_messages).values(problems=[problem]))
    check = await scene.failing(message_id)
    assert (check["check"], check["reason"], check["details"]["problems"]) == ("status", "invalid", [problem])
    assert len((await scene.explain(message_id))["checks"]) == 1


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ("appearance='{}'", "/appearance"),
        ("content='5'", "/content"),
        ('trigger=\'{"audienceId":"019b7f5e-0000-7000-8000-0000000000ff"}\'', "/trigger/audienceId"),
        ('trigger=\'{"url":{"op":"regex","value":"a"}}\'', "/trigger/url/op"),
    ],
)
async def test_a_message_that_no_compiler_has_seen_yet_is_invalid_all_the_same(
    scene: Scene, change: str, pointer: str
) -> None:
    message_id = await scene.message()
    await scene.api.execute(text(f"UPDATE in_app_messages SET {change.replace(':', chr(92) + ':')}"))
    check = await scene.failing(message_id)
    assert check["reason"] == "invalid"
    assert [problem["pointer"] for problem in check["details"]["problems"]] == [pointer]


async def test_an_audience_that_cannot_be_used_makes_its_message_invalid(scene: Scene) -> None:
    broken = await scene.audience(IS_FREE)
    message_id = await scene.message(audienceId=await scene.audience({"audience": broken}, "Over"))
    await scene.api.execute(update(tables.audiences).values(rule={"trait": 5}).where(tables.audiences.c.id == broken))
    assert [problem["code"] for problem in (await scene.failing(message_id))["details"]["problems"]] == [
        "audience_broken"
    ]


async def test_audiences_in_a_circle_make_their_message_invalid_in_words(scene: Scene) -> None:
    first = await scene.audience(IS_FREE, "First")
    second = await scene.audience({"audience": first}, "Second")
    message_id = await scene.message(audienceId=first)
    a = tables.audiences
    await scene.api.execute(update(a).values(rule={"audience": second}).where(a.c.id == first))
    check = await scene.failing(message_id)
    (problem,) = check["details"]["problems"]
    assert (check["reason"], problem["pointer"], problem["code"]) == ("invalid", "/audienceId", "audience_cycle")
    assert problem["message"].startswith("Audience “First” cannot be used: Audiences refer to each other in a circle")


async def test_a_message_whose_audience_is_being_prepared(scene: Scene) -> None:
    audience_id = await scene.audience(THRICE, "Often")
    message_id = await scene.message(audienceId=audience_id)
    await gather(scene.api, THRICE, ready=0, done=2, total=5)
    explained = await scene.explain(message_id)
    status = explained["checks"][0]
    assert (explained["reason"], status["reason"]) == ("preparing", "preparing")
    assert status["details"]["preparing"] == [{"id": audience_id, "name": "Often", "progress": 40}]
    assert "“Often” (40 %)" in explained["summary"]


# The window


async def test_a_message_that_has_not_begun_says_when_it_will(scene: Scene) -> None:
    starts_at = times.to_iso(NOW_MS + DAY_MS)
    message_id = await scene.message(startsAt=starts_at)
    check = await scene.failing(message_id)
    assert (check["check"], check["reason"], check["changesAt"]) == ("window", "not_started", starts_at)
    assert (await scene.explain(message_id))["changesAt"] == starts_at
    scene.api.clock.now_ms += DAY_MS
    assert (await scene.explain(message_id))["shown"] is True


async def test_a_message_that_has_ended(scene: Scene) -> None:
    message_id = await scene.message(endsAt=times.to_iso(NOW_MS + DAY_MS))
    assert (await scene.explain(message_id))["changesAt"] == times.to_iso(NOW_MS + DAY_MS)
    scene.api.clock.now_ms += DAY_MS
    check = await scene.failing(message_id)
    assert (check["reason"], check["changesAt"]) == ("ended", None)


# Audiences


async def test_a_trait_that_differs(scene: Scene) -> None:
    audience_id = await scene.audience({"all": [IS_FREE, {"trait": "visits", "op": "gte", "value": 3}]})
    message_id = await scene.message(audienceId=audience_id)
    await scene.identify(plan="pro", visits=4)
    check = await scene.failing(message_id)
    assert (check["check"], check["reason"]) == ("audience", "not_in_audience")
    assert check["text"] == "The customer is not in “Free”. plan is “pro”; it would have to be “free”."
    (audience,) = check["details"]["audiences"]
    plan, visits = audience.pop("conditions")
    assert audience == {"id": audience_id, "name": "Free", "member": False, "leftOut": 0}
    assert plan == {
        "pointer": "/all/0",
        "condition": IS_FREE,
        "holds": False,
        "decides": True,
        "mustChange": True,
        "value": "pro",
        "text": "plan is “pro”; it would have to be “free”.",
        "changesAt": None,
        "audience": None,
    }
    assert (visits["holds"], visits["decides"], visits["mustChange"], visits["text"]) == (
        True,
        False,
        False,
        "visits is 4.",
    )


async def test_all_that_must_change_is_named_not_only_what_decides(scene: Scene) -> None:
    rule = {"all": [IS_FREE, {"any": [{"trait": "a", "op": "exists"}, {"trait": "b", "op": "exists"}]}]}
    message_id = await scene.message(audienceId=await scene.audience(rule))
    await scene.identify(plan="pro")
    check = await scene.failing(message_id)
    conditions = check["details"]["audiences"][0]["conditions"]
    assert [one["mustChange"] for one in conditions] == [True, True, False]
    assert sum(one["decides"] for one in conditions) < sum(one["mustChange"] for one in conditions)
    assert "a is not set; it would have to be set." in check["text"]


async def test_events_that_are_too_few_and_when_their_number_falls(scene: Scene) -> None:
    audience_id = await scene.audience(THRICE, "Often")
    message_id = await scene.message(audienceId=audience_id)
    await gather(scene.api, THRICE, ready=3, done=1, total=1)
    await scene.did("checkout.viewed", NOW_MS - 8 * DAY_MS, NOW_MS - DAY_MS)
    check = await scene.failing(message_id)
    newest = times.to_iso(NOW_MS - DAY_MS)
    assert check["reason"] == "not_in_audience"
    assert f"checkout.viewed: 1 within 7d (the newest at {newest}), at least 3 are needed." in check["text"]
    (condition,) = check["details"]["audiences"][0]["conditions"]
    assert condition["value"] == {"count": 1, "orMore": False, "newestAt": newest}
    await scene.did("checkout.viewed", NOW_MS - 2, NOW_MS - 1)
    explained = await scene.explain(message_id)
    assert (explained["shown"], explained["changesAt"]) == (True, times.to_iso(NOW_MS + 6 * DAY_MS + 1))


async def test_what_happens_by_itself_says_when(scene: Scene) -> None:
    lately = {"trait": "seenAt", "op": "not_within_last", "value": "1d"}
    message_id = await scene.message(audienceId=await scene.audience(lately, "Away"))
    await scene.identify(seenAt=times.to_iso(NOW_MS))
    check = await scene.failing(message_id)
    at = times.to_iso(NOW_MS + DAY_MS + 1)
    assert check["changesAt"] == at
    assert f"it must not lie within the last 1d. It happens by itself at {at}." in check["text"]


async def test_a_referred_audience_is_followed_one_level(scene: Scene) -> None:
    free = await scene.audience(IS_FREE)
    inner = await scene.audience({"audience": free}, "Inner")
    message_id = await scene.message(audienceId=await scene.audience({"not": {"audience": inner}}, "Outer"))
    await scene.identify(plan="free")
    check = await scene.failing(message_id)
    assert check["text"].startswith(
        "The customer is not in “Outer”. The customer is in “Inner” and must not be. "
        "The customer is in “Free” and must not be."
    )
    (condition,) = check["details"]["audiences"][0]["conditions"]
    assert (condition["pointer"], condition["holds"], condition["value"]) == ("/not", True, True)
    followed = condition["audience"]
    assert (followed["name"], followed["member"]) == ("Inner", True)
    assert [(one["holds"], one["audience"]) for one in followed["conditions"]] == [(True, None)]


async def test_an_excluded_audience(scene: Scene) -> None:
    free, other = await scene.audience(IS_FREE), await scene.audience({"trait": "x", "op": "exists"}, "Other")
    message_id = await scene.message(excludeAudienceIds=[free, other])
    await scene.identify(plan="free")
    check = await scene.failing(message_id)
    assert (check["check"], check["reason"]) == ("excluded_audiences", "in_excluded_audience")
    assert check["text"] == "The customer is in “Free”, which it excludes. plan is “free”; it must not be “free”."
    assert {one["name"]: one["member"] for one in check["details"]["audiences"]} == {"Free": True, "Other": False}


async def test_a_trigger_audience_and_a_static_list(scene: Scene) -> None:
    listed = await scene.audience(None, "Listed")
    message_id = await scene.message(trigger={"audienceId": listed})
    await scene.identify()
    check = await scene.failing(message_id)
    assert (check["check"], check["reason"]) == ("trigger_audience", "not_in_trigger_audience")
    await scene.world.ask_members(UUID(listed), add=["u:ada"])
    assert (await scene.explain(message_id))["shown"] is True


# Where, and upon what

TRIGGER = {
    "eventType": "report.exported",
    "where": [{"property": "pages", "op": "gte", "value": 3}],
    "url": {"op": "starts_with", "value": "https://a.example/"},
    "screen": {"op": "glob", "value": "Checkout*"},
}


async def test_what_is_not_said_is_left_to_the_device(scene: Scene) -> None:
    message_id = await scene.message(trigger=TRIGGER)
    await scene.identify()
    explained = await scene.explain(message_id)
    left = [check["check"] for check in explained["checks"] if check["details"].get("onDevice")]
    assert (explained["shown"], left) == (True, ["url", "screen", "event"])
    assert [note["code"] for note in explained["notes"]] == ["on_device"]
    event = json.dumps({"type": "report.exported", "properties": {"pages": 3}})
    explained = await scene.explain(message_id, url="https://a.example/x", screen="Checkout/2", event=event)
    assert (explained["shown"], explained["notes"]) == (True, [])


@pytest.mark.parametrize(
    ("query", "rule", "reason", "said"),
    [
        ({"url": "https://b.example/"}, "url", "url_mismatch", "it would have to start with “https://a.example/”"),
        ({"screen": "Home"}, "screen", "screen_mismatch", "The screen is “Home”; it would have to look like"),
        ({"event": "a.b"}, "event", "event_mismatch", "The event is “a.b”; it would have to be “report.exported”."),
        (
            {"event": '{"type":"report.exported","properties":{"pages":2}}'},
            "event",
            "event_mismatch",
            "pages is 2; it would have to be at least 3.",
        ),
    ],
)
async def test_what_is_said_and_does_not_match(
    scene: Scene, query: dict[str, str], rule: str, reason: str, said: str
) -> None:
    check = await scene.failing(await scene.message(trigger=TRIGGER), **query)
    assert (check["check"], check["reason"]) == (rule, reason)
    assert said in check["text"]


# How often, and what is before it


@pytest.mark.parametrize(
    ("cap", "type_", "reason", "after_ms"),
    [
        ({"maxImpressions": 1}, events.IMPRESSION, "cap_reached", None),
        ({"maxImpressions": 1, "perSeconds": 60}, events.IMPRESSION, "cap_reached", 60_001),
        ({"minIntervalSeconds": 60}, events.IMPRESSION, "too_soon", 60_000),
        ({"stopAfter": ["click"]}, events.CLICKED, "stopped_by_click", None),
        ({"stopAfter": ["dismiss"]}, events.DISMISSED, "stopped_by_dismissal", None),
    ],
)
async def test_a_frequency_cap_says_from_when_it_is_shown_again(
    scene: Scene, cap: dict[str, Any], type_: str, reason: str, after_ms: int | None
) -> None:
    message_id = await scene.message(frequencyCap=cap)
    await scene.about(message_id, type_, NOW_MS - 1)
    check = await scene.failing(message_id)
    assert (check["check"], check["reason"]) == ("frequency_cap", reason)
    assert check["changesAt"] == (None if after_ms is None else times.to_iso(NOW_MS - 1 + after_ms))


async def test_a_message_that_is_before_it_in_its_slot(scene: Scene) -> None:
    first = await scene.message(name="First", priority=80, endsAt=times.to_iso(NOW_MS + DAY_MS))
    await scene.message(name="Elsewhere", priority=90, slot="elsewhere")
    await scene.message(name="Paused", priority=90, active=False)
    await scene.message(name="Draft", priority=90, draft=True)
    await scene.message(name="Not for them", priority=90, audienceId=await scene.audience(IS_FREE))
    await scene.message(name="Waits for an event", priority=90, trigger={"eventType": "a.b"})
    message_id = await scene.message(priority=50)
    check = await scene.failing(message_id)
    assert (check["check"], check["reason"]) == ("slot", "outranked")
    assert check["details"]["outrankedBy"] == {"id": first, "name": "First", "priority": 80}
    assert check["changesAt"] == times.to_iso(NOW_MS + DAY_MS)
    assert (await scene.explain(first))["shown"] is True
    upon = await scene.failing(message_id, event="a.b")
    assert upon["details"]["outrankedBy"]["name"] == "Waits for an event"


async def test_of_equals_the_older_message_is_first(scene: Scene) -> None:
    older = await scene.message(name="Older")
    scene.api.clock.now_ms += 1
    message_id = await scene.message(name="Younger")
    assert (await scene.failing(message_id))["details"]["outrankedBy"]["id"] == older
    assert (await scene.explain(older))["shown"] is True


async def test_a_message_of_another_slot_name_or_org_is_no_rival(scene: Scene) -> None:
    message_id = await scene.message(type="tooltip", appearance={"anchor": "buy"})
    await scene.message(type="tooltip", appearance={"anchor": "sell"}, priority=90)
    other = await scene.api.new_org()
    await other.data("POST", "/in-app-messages", {**BANNER, "slot": "tooltip:buy", "priority": 90})
    assert (await scene.explain(message_id))["shown"] is True
    await scene.message(slot="tooltip:buy", priority=90)
    assert (await scene.failing(message_id))["reason"] == "outranked"


async def test_a_rival_that_no_edge_can_use_does_not_count(scene: Scene) -> None:
    rival = await scene.message(priority=90, trigger={"url": {"op": "eq", "value": "u"}})
    message_id = await scene.message()
    broken = json.dumps({"url": {"op": "regex", "value": "u"}}).replace(":", r"\:")
    await scene.api.execute(text(f"UPDATE in_app_messages SET trigger = '{broken}' WHERE id = '{rival}'"))
    assert (await scene.explain(message_id, url="u"))["shown"] is True


async def test_a_rival_that_is_being_prepared_or_left_out_by_the_compiler_does_not_count(scene: Scene) -> None:
    often = await scene.audience({"not": THRICE}, "Often")
    await gather(scene.api, THRICE, ready=0, done=0, total=1)
    await scene.message(priority=90, audienceId=often)
    left_out = await scene.message(priority=91)
    problem = {"pointer": "/content/body", "code": "missing_field", "message": "This is required."}
    table = tables.in_app_messages
    await scene.api.execute(update(table).values(problems=[problem]).where(table.c.id == left_out))
    message_id = await scene.message()
    assert (await scene.explain(message_id))["shown"] is True
    await gather(scene.api, THRICE, ready=3, done=1, total=1)
    assert (await scene.failing(message_id))["reason"] == "outranked"


# Who is asked about


async def test_a_visitor_alone_and_together_with_a_user(scene: Scene) -> None:
    message_id = await scene.message(frequencyCap={"maxImpressions": 1})
    seen = scene.world.about(UUID(message_id), visitor="x", at_ms=NOW_MS)
    await scene.world.record(seen)
    assert (await scene.explain(message_id))["shown"] is True
    for who in ({"customerId": "", "anonymousId": "x"}, {"anonymousId": "x"}):
        assert (await scene.explain(message_id, **who))["reason"] == "cap_reached"
    await scene.world.record(scene.world.identify("ada", "x", at_ms=NOW_MS))
    for who in ({}, {"customerId": "", "anonymousId": "x"}, {"anonymousId": "x"}):
        explained = await scene.explain(message_id, **who)
        assert (explained["customer"], explained["reason"]) == ("known", "cap_reached")
        assert explained["checks"][8]["details"]["impressions"] == 1


async def test_an_identity_is_taken_as_given_where_the_org_asks_for_proof(scene: Scene) -> None:
    message_id = await scene.message(audienceId=await scene.audience(IS_FREE))
    await scene.identify(plan="free")
    await scene.api.execute(update(tables.orgs).values(require_identity_token=True, identity_secret="s"))
    explained = await scene.explain(message_id)
    assert (explained["shown"], [note["code"] for note in explained["notes"]]) == (True, ["identity_assumed"])


async def test_a_viewer_may_ask_and_nobody_of_another_org(scene: Scene) -> None:
    message_id = await scene.message()
    viewer = await scene.api.with_role("viewer")
    assert (await viewer.data("GET", f"/in-app-messages/{message_id}/explain?customerId=ada"))["shown"] is True
    other = await scene.api.new_org()
    for api, id_ in ((other, message_id), (scene.api, str(uuid4())), (scene.api, "x")):
        await api.error("GET", f"/in-app-messages/{id_}/explain", status=404)


async def test_every_problem_of_a_query_comes_at_once(scene: Scene) -> None:
    path = f"/in-app-messages/{await scene.message()}/explain?"
    query = {"customerId": "x" * 257, "anonymousId": "a\0", "url": "u" * 8193, "screen": "s" * 1025, "nope": 1}
    assert await scene.api.problems("GET", path + urlencode({**query, "event": "9"})) == {
        ("/query/customerId", "too_long"),
        ("/query/anonymousId", "nul_character"),
        ("/query/url", "too_long"),
        ("/query/screen", "too_long"),
        ("/query/event/type", "invalid_event_type"),
        ("/query/nope", "unknown_field"),
    }
    for event, found in {
        "{": ("/query/event", "invalid_json"),
        "{}": ("/query/event/type", "missing_field"),
        '{"type":5}': ("/query/event/type", "wrong_type"),
        '{"type":"a","properties":[]}': ("/query/event/properties", "wrong_type"),
        json.dumps({"type": "a", "properties": {"x": "x" * 33_000}}): ("/query/event/properties", "too_large"),
        '{"type":"a","properties":{"n":1e999}}': ("/query/event", "invalid_json"),
    }.items():
        assert await scene.api.problems("GET", path + urlencode({"event": event})) == {found}


async def test_an_answer_stays_small_whatever_is_in_a_rule(scene: Scene) -> None:
    many = [{"trait": "plan", "op": "in", "value": [f"{number}-{'x' * 1000}" for number in range(30)]}] * 6
    rule = {"all": [*many, *({"trait": f"t{number}", "op": "exists"} for number in range(100))]}
    message_id = await scene.message(audienceId=await scene.audience(rule))
    await scene.identify(plan="y" * 5_000)
    answer = await scene.api.call("GET", f"/in-app-messages/{message_id}/explain?customerId=ada")
    (check,) = [check for check in answer.json()["data"]["checks"] if not check["passes"]]
    (audience,) = check["details"]["audiences"]
    assert (len(audience["conditions"]), audience["leftOut"]) == (50, 56)
    assert len(answer.content) < 100_000
    assert len(check["text"]) < 3_000


# Agreement with an edge


async def test_an_edge_gives_exactly_what_is_explained_as_shown(scene: Scene, redis_db: str, tmp_path: Path) -> None:
    api, world = scene.api, scene.world
    free, often = await scene.audience(IS_FREE), await scene.audience(THRICE, "Often")
    await gather(api, THRICE, ready=3, done=1, total=1)
    drawn_up: dict[str, dict[str, Any]] = {
        "everybody": {},
        "free": {"audienceId": free, "priority": 70},
        "not often": {"excludeAudienceIds": [often], "slot": "b"},
        "when often": {"trigger": {"audienceId": often}, "slot": "b", "priority": 60},
        "at a url": {"trigger": {"url": {"op": "eq", "value": "u"}}, "priority": 80},
        "upon": {"trigger": {"eventType": "a.b"}, "slot": "c"},
        "once": {"frequencyCap": {"maxImpressions": 1}, "slot": "d"},
        "later": {"startsAt": times.to_iso(NOW_MS + 1), "slot": "e"},
        "paused": {"active": False, "slot": "f"},
        "draft": {"draft": True, "slot": "g"},
    }
    messages = [await scene.message(name=name, **fields) for name, fields in drawn_up.items()]
    await scene.identify("ada", plan="free")
    await scene.did("checkout.viewed", NOW_MS - 3, NOW_MS - 2, NOW_MS - 1, user="bob")
    await scene.about(messages[6])
    org = await _published(api, world)
    async with edge_on(redis_db, tmp_path, now_ms=lambda: NOW_MS) as edge:
        for user in ("ada", "bob"):
            wheres: tuple[dict[str, Any], ...] = ({"url": "u"}, {"url": "v"}, {"url": "u", "event": {"type": "a.b"}})
            for where in wheres:
                event = where.get("event")
                query = {**where, **({"event": json.dumps(event)} if event else {})}
                winners = await edge.fetched(org, userId=user, resolve=True, **where)
                given = await edge.fetched(org, userId=user, **where)
                assert 2 <= len(winners) < len(given) < len(messages)
                for message_id in messages:
                    explained = await scene.explain(message_id, customerId=user, **query)
                    failing = [check["check"] for check in explained["checks"] if not check["passes"]]
                    assert (failing in ([], ["slot"])) == (message_id in given), explained
                    if not explained["notes"]:
                        assert explained["shown"] == (message_id in winners), explained


async def _published(api: Api, world: World) -> Publisher:
    """Compiled and published, with every customer projected."""
    lease = Lease(api.engine, "a compiler")
    await lease.attempt()
    assert lease.term is not None
    snapshot = await take_snapshot(api.engine, api.org.org_id, lease.term)
    await publish(world.redis, api.org.org_id, compile_org(snapshot, NOW_MS))
    org = Publisher(world.redis, api.org.org_id)
    org.key = api.org.public_key
    await org.mark_projected()
    return org
