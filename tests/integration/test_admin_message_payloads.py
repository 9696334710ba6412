"""Every rule about a message's fields, and that all of them are checked at once."""

import json
import uuid
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from store import tables
from tests.support.admin_api import Api

pytestmark = pytest.mark.anyio


BANNER: dict[str, Any] = {"type": "banner", "content": {"body": "Hello"}}


def content(**fields: Any) -> dict[str, Any]:
    return {**BANNER, "content": {"body": "Hello", **fields}}


def trigger(**fields: Any) -> dict[str, Any]:
    return {**BANNER, "trigger": fields}


def cap(**fields: Any) -> dict[str, Any]:
    return {**BANNER, "frequencyCap": fields}


def goal(**fields: Any) -> dict[str, Any]:
    return {**BANNER, "goal": {"eventType": "plan.upgraded", **fields}}


def look(**fields: Any) -> dict[str, Any]:
    return {**BANNER, "appearance": fields}


UNKNOWN = str(uuid.UUID(int=1))
LEAF = {"property": "pages", "op": "gte", "value": 3}

REFUSED: list[tuple[Any, str, str]] = [
    ([], "", "wrong_type"),
    ({"content": {"body": "x"}}, "/type", "missing_field"),
    ({"type": "popup", "content": {"body": "x"}}, "/type", "unknown_value"),
    ({"type": "banner"}, "/content", "missing_field"),
    ({"type": "banner", "content": "x"}, "/content", "wrong_type"),
    ({**BANNER, "name": ""}, "/name", "too_short"),
    ({**BANNER, "name": "x" * 201}, "/name", "too_long"),
    ({**BANNER, "name": "\u2003"}, "/name", "blank"),
    ({**BANNER, "name": 5}, "/name", "wrong_type"),
    ({**BANNER, "name": "a\0b"}, "/name", "nul_character"),
    (content(title="x" * 201), "/content/title", "too_long"),
    (content(body=None), "/content/body", "wrong_type"),
    (content(body=" \n"), "/content/body", "blank"),
    (content(body="x" * 4001), "/content/body", "too_long"),
    (content(body="\0"), "/content/body", "nul_character"),
    (content(ctaText="x" * 81), "/content/ctaText", "too_long"),
    (content(ctaUrl="javascript:alert(1)"), "/content/ctaUrl", "url_scheme_not_allowed"),
    (content(ctaUrl="acme://x"), "/content/ctaUrl", "url_scheme_not_allowed"),
    (content(ctaUrl="https://u@example.com"), "/content/ctaUrl", "url_userinfo"),
    (content(ctaUrl="https://example.com/" + "x" * 2_029), "/content/ctaUrl", "too_long"),
    (content(imageUrl="http://localhost/x.png"), "/content/imageUrl", "url_scheme_not_allowed"),
    (content(imageUrl="data:image/png;base64,AA=="), "/content/imageUrl", "url_scheme_not_allowed"),
    (content(dismissible="yes"), "/content/dismissible", "wrong_type"),
    (content(dismissible=1), "/content/dismissible", "wrong_type"),
    (content(dismissible=False), "/content/dismissible", "cannot_be_closed"),
    (content(html="<b>"), "/content/html", "unknown_field"),
    (trigger(eventType="1st"), "/trigger/eventType", "invalid_event_type"),
    (trigger(eventType="a" * 129), "/trigger/eventType", "invalid_event_type"),
    (trigger(eventType="a\n"), "/trigger/eventType", "invalid_event_type"),
    (trigger(eventType="a", where=[{**LEAF, "op": "near"}]), "/trigger/where/0/op", "unknown_op"),
    (trigger(eventType="a", where=[{"trait": "x", "op": "exists"}]), "/trigger/where/0", "unknown_rule"),
    (trigger(eventType="a", where=LEAF), "/trigger/where", "wrong_type"),
    (trigger(where=[LEAF]), "/trigger/where", "event_type_missing"),
    (trigger(url={"op": "regex", "value": "x"}), "/trigger/url/op", "unknown_op"),
    (trigger(screen={"op": "glob", "value": "a\\b"}), "/trigger/screen/value", "invalid_glob"),
    (trigger(audienceId=UNKNOWN), "/trigger/audienceId", "audience_not_found"),
    (trigger(audienceId="x"), "/trigger/audienceId", "invalid_uuid"),
    (trigger(delaySeconds=301), "/trigger/delaySeconds", "out_of_range"),
    (trigger(delaySeconds=-1), "/trigger/delaySeconds", "out_of_range"),
    (trigger(delaySeconds=1.5), "/trigger/delaySeconds", "wrong_type"),
    (trigger(delaySeconds="5"), "/trigger/delaySeconds", "wrong_type"),
    (trigger(delaySeconds=True), "/trigger/delaySeconds", "wrong_type"),
    (trigger(cron="*"), "/trigger/cron", "unknown_field"),
    ({**BANNER, "audienceId": UNKNOWN}, "/audienceId", "audience_not_found"),
    ({**BANNER, "audienceId": "{" + UNKNOWN + "}"}, "/audienceId", "invalid_uuid"),
    ({**BANNER, "excludeAudienceIds": [UNKNOWN]}, "/excludeAudienceIds/0", "audience_not_found"),
    ({**BANNER, "excludeAudienceIds": "x"}, "/excludeAudienceIds", "wrong_type"),
    (look(position="left"), "/appearance/position", "unknown_value"),
    (look(theme="sepia"), "/appearance/theme", "unknown_value"),
    (look(backgroundColor="red"), "/appearance/backgroundColor", "invalid_color"),
    (look(textColor="#ffff"), "/appearance/textColor", "invalid_color"),
    (look(textColor="#fff\n"), "/appearance/textColor", "invalid_color"),
    (look(anchor="#x"), "/appearance/anchor", "anchor_not_allowed"),
    (look(zIndex=1), "/appearance/zIndex", "unknown_field"),
    ({**BANNER, "type": "tooltip"}, "/appearance/anchor", "anchor_missing"),
    ({**BANNER, "startsAt": "2026-12-01T00:00:00"}, "/startsAt", "invalid_timestamp"),
    ({**BANNER, "startsAt": "2026-12-01"}, "/startsAt", "invalid_timestamp"),
    ({**BANNER, "startsAt": 1_780_000_000_000}, "/startsAt", "invalid_timestamp"),
    ({**BANNER, "endsAt": "1969-12-31T23:59:59Z"}, "/endsAt", "invalid_timestamp"),
    ({**BANNER, "endsAt": "9999-12-31T23:59:59-01:00"}, "/endsAt", "invalid_timestamp"),
    (
        {**BANNER, "startsAt": "2026-12-01T00:00:00Z", "endsAt": "2026-12-01T01:00:00+01:00"},
        "/endsAt",
        "ends_before_it_starts",
    ),
    ({**BANNER, "active": "true"}, "/active", "wrong_type"),
    ({**BANNER, "priority": 101}, "/priority", "out_of_range"),
    ({**BANNER, "priority": -1}, "/priority", "out_of_range"),
    ({**BANNER, "priority": 5.0}, "/priority", "wrong_type"),
    ({**BANNER, "slot": "a b"}, "/slot", "invalid_slot"),
    ({**BANNER, "slot": "x" * 65}, "/slot", "invalid_slot"),
    (cap(maxImpressions=0), "/frequencyCap/maxImpressions", "out_of_range"),
    (cap(maxImpressions=101), "/frequencyCap/maxImpressions", "out_of_range"),
    (cap(maxImpressions=1, perSeconds=31_536_001), "/frequencyCap/perSeconds", "out_of_range"),
    (cap(perSeconds=60), "/frequencyCap/perSeconds", "max_impressions_missing"),
    (cap(minIntervalSeconds=-1), "/frequencyCap/minIntervalSeconds", "out_of_range"),
    (cap(stopAfter=["impression"]), "/frequencyCap/stopAfter/0", "unknown_value"),
    (cap(stopAfter=["click", "click"]), "/frequencyCap/stopAfter", "duplicate"),
    (cap(perDay=1), "/frequencyCap/perDay", "unknown_field"),
    ({**BANNER, "draft": 0}, "/draft", "wrong_type"),
    ({**BANNER, "goal": "plan.upgraded"}, "/goal", "wrong_type"),
    (goal(eventType=None), "/goal/eventType", "wrong_type"),
    (goal(eventType="1st"), "/goal/eventType", "invalid_event_type"),
    ({**BANNER, "goal": {}}, "/goal/eventType", "missing_field"),
    (goal(where=LEAF), "/goal/where", "wrong_type"),
    (goal(where=[{**LEAF, "op": "near"}]), "/goal/where/0/op", "unknown_op"),
    (goal(where=[{"trait": "x", "op": "exists"}]), "/goal/where/0", "unknown_rule"),
    (goal(where=[{"property": "x", "op": "within_last", "value": "1d"}]), "/goal/where/0/op", "not_allowed_here"),
    (goal(where=[LEAF] * 21), "/goal/where", "too_many_leaves"),
    (goal(withinSeconds=0), "/goal/withinSeconds", "out_of_range"),
    (goal(withinSeconds=31_536_001), "/goal/withinSeconds", "out_of_range"),
    (goal(withinSeconds=1.5), "/goal/withinSeconds", "wrong_type"),
    (goal(withinSeconds="7d"), "/goal/withinSeconds", "wrong_type"),
    (goal(url={"op": "eq", "value": "x"}), "/goal/url", "unknown_field"),
    ({**BANNER, "conversion": None}, "/conversion", "unknown_field"),
    ({**BANNER, "a/b~c": None}, "/a~1b~0c", "unknown_field"),
]

TAKEN: list[Any] = [
    {**BANNER, "name": "x" * 200},
    content(title="x" * 200, body="x" * 4000, ctaText="x" * 80),
    content(ctaUrl="https://example.com/" + "x" * 2_028),
    content(dismissible=False, ctaText="OK"),
    content(dismissible=False, ctaUrl="https://example.com"),
    content(ctaUrl="mailto:help@example.com", imageUrl="https://example.com/x.png"),
    trigger(eventType="a" * 128, where=[LEAF], delaySeconds=300),
    trigger(eventType="a.b_c:d-e", delaySeconds=0),
    trigger(url={"op": "contains", "value": "/pricing"}, screen={"op": "starts_with", "value": "Check"}),
    look(position="center", theme="light", backgroundColor="#ABC", textColor="#aBcDeF"),
    {**BANNER, "type": "tooltip", "appearance": {"anchor": "[data-id='a b']"}},
    {**BANNER, "startsAt": "2026-12-01T00:00:00Z", "endsAt": "2026-12-01T00:00:00.001Z"},
    {**BANNER, "priority": 0, "slot": "A.b_c:d-1"},
    {**BANNER, "priority": 100, "active": False},
    cap(maxImpressions=100, perSeconds=31_536_000, minIntervalSeconds=0, stopAfter=["click", "dismiss"]),
    cap(minIntervalSeconds=31_536_000),
    goal(where=[LEAF], withinSeconds=1),
    goal(eventType="in_app.clicked", where=None, withinSeconds=31_536_000),
]


async def test_each_rule_is_said_at_its_place(api: Api) -> None:
    for payload, pointer, code in REFUSED:
        assert await api.problems("POST", "/in-app-messages", payload) == {(pointer, code)}, payload
    assert (await api.data("GET", "/in-app-messages"))["items"] == []


async def test_what_the_rules_allow_is_taken(api: Api) -> None:
    for payload in TAKEN:
        await api.data("POST", "/in-app-messages", payload, status=201)


async def test_every_problem_of_a_payload_is_in_one_answer(api: Api) -> None:
    audience = (await api.data("POST", "/audiences", {"name": "A"}))["id"]
    payload = {
        "name": " ",
        "type": "tooltip",
        "draft": "no",
        "goal": {"where": [{"property": "x", "op": "near"}, 5], "withinSeconds": 0, "within": "7d"},
        "content": {
            "body": 5,
            "ctaUrl": "javascript:x",
            "imageUrl": "http://localhost/x",
            "ctaText": "x" * 81,
            "colour": "red",
        },
        "trigger": {
            "where": [{"property": "x", "op": "near"}, 5],
            "url": {"op": "glob"},
            "screen": {"op": "glob", "value": "\\"},
            "audienceId": UNKNOWN,
            "delaySeconds": 301,
        },
        "audienceId": audience,
        "excludeAudienceIds": [audience, UNKNOWN],
        "appearance": {"backgroundColor": "red", "theme": "x"},
        "startsAt": "2026-01-02T00:00:00Z",
        "endsAt": "2026-01-01T00:00:00Z",
        "active": None,
        "priority": "5",
        "slot": "a b",
        "frequencyCap": {"perSeconds": 5, "stopAfter": ["x"]},
    }
    assert await api.problems("POST", "/in-app-messages", payload) == {
        ("/name", "blank"),
        ("/draft", "wrong_type"),
        ("/goal/eventType", "missing_field"),
        ("/goal/where/0/op", "unknown_op"),
        ("/goal/where/1", "unknown_rule"),
        ("/goal/withinSeconds", "out_of_range"),
        ("/goal/within", "unknown_field"),
        ("/content/body", "wrong_type"),
        ("/content/ctaUrl", "url_scheme_not_allowed"),
        ("/content/imageUrl", "url_scheme_not_allowed"),
        ("/content/ctaText", "too_long"),
        ("/content/colour", "unknown_field"),
        ("/trigger/where/0/op", "unknown_op"),
        ("/trigger/where/1", "unknown_rule"),
        ("/trigger/where", "event_type_missing"),
        ("/trigger/url/value", "missing_field"),
        ("/trigger/screen/value", "invalid_glob"),
        ("/trigger/audienceId", "audience_not_found"),
        ("/trigger/delaySeconds", "out_of_range"),
        ("/excludeAudienceIds/0", "audience_excluded"),
        ("/excludeAudienceIds/1", "audience_not_found"),
        ("/appearance/backgroundColor", "invalid_color"),
        ("/appearance/theme", "unknown_value"),
        ("/appearance/anchor", "anchor_missing"),
        ("/endsAt", "ends_before_it_starts"),
        ("/priority", "wrong_type"),
        ("/slot", "invalid_slot"),
        ("/frequencyCap/perSeconds", "max_impressions_missing"),
        ("/frequencyCap/stopAfter/0", "unknown_value"),
    }


async def test_a_goal_is_kept_in_one_form_through_versions_and_patches(api: Api) -> None:
    made = await api.data("POST", "/in-app-messages", goal(where=[{"op": "exists", "property": "plan"}]))
    path = f"/in-app-messages/{made['id']}"
    kept = {"eventType": "plan.upgraded", "where": [{"property": "plan", "op": "exists"}], "withinSeconds": 604_800}
    assert made["goal"] == kept
    assert (await api.data("GET", path))["goal"] == kept
    patched = await api.data("PATCH", path, {"goal": {"withinSeconds": 60, "where": None}})
    assert (patched["goal"], patched["version"]) == ({**kept, "where": [], "withinSeconds": 60}, 2)
    assert await api.problems("PATCH", path, {"goal": {"eventType": None}}) == {("/goal/eventType", "wrong_type")}
    assert (await api.data("PATCH", path, {"goal": {"withinSeconds": 60}}))["version"] == 2
    removed = await api.data("PATCH", path, {"goal": None})
    assert (removed["goal"], removed["version"]) == (None, 3)
    assert (await api.data("PATCH", path, goal()))["version"] == 4
    versions = tables.message_versions.c
    rows = await api.rows(select(versions.spec).order_by(versions.version))
    assert [row.spec["goal"] and row.spec["goal"]["withinSeconds"] for row in rows] == [604_800, 60, None, 604_800]
    [entry] = [each for each in (await api.data("GET", "/audit-log"))["items"] if "goal" in str(each["changes"])][:1]
    assert entry["action"] == "message.update"


@pytest.mark.parametrize(
    ("stored", "shown", "pointer"),
    [
        ("5", None, "/goal"),
        ('{"eventType":"a","where":[{"property":"a","op":"near"}],"withinSeconds":5}', ..., "/goal/where/0/op"),
        ('{"eventType":"a","where":[],"withinSeconds":0}', ..., "/goal/withinSeconds"),
        ('{"where":[]}', ..., "/goal/eventType"),
    ],
)
async def test_a_stored_goal_that_cannot_be_read_is_a_problem_of_its_message(
    api: Api, stored: str, shown: Any, pointer: str
) -> None:
    path = f"/in-app-messages/{(await api.data('POST', '/in-app-messages', goal()))['id']}"
    await api.execute(text("UPDATE in_app_messages SET goal = CAST(:goal AS jsonb)").bindparams(goal=stored))
    message = await api.data("GET", path)
    assert message["goal"] == (json.loads(stored) if shown is ... else shown)
    assert [problem["pointer"] for problem in message["problems"]] == [pointer]
    assert {found for found, _ in await api.problems("PATCH", path, {"priority": 7})} == {pointer}
    mended = await api.data("PATCH", path, {"goal": None, "priority": 7})
    assert (mended["goal"], mended["problems"]) == (None, [])


async def test_a_deleted_message_takes_its_conversions_along(api: Api) -> None:
    made, other = [await api.data("POST", "/in-app-messages", goal()) for _ in range(2)]
    for message in (made, other):
        row = {"org_id": api.org.org_id, "message_id": message["id"], "subject": "u:ada"}
        event = {"event_id": uuid.uuid4(), "occurred_ms": 0}
        await api.execute(insert(tables.in_app_message_conversions).values(**row, **event))
    await api.data("DELETE", f"/in-app-messages/{made['id']}")
    left = await api.rows(select(tables.in_app_message_conversions.c.message_id))
    assert [str(row.message_id) for row in left] == [other["id"]]


async def test_excluded_audiences_are_few_and_distinct(api: Api) -> None:
    ids = [(await api.data("POST", "/audiences", {"name": f"A{n}"}))["id"] for n in range(21)]
    excluding = {**BANNER, "excludeAudienceIds": ids}
    assert await api.problems("POST", "/in-app-messages", excluding) == {("/excludeAudienceIds", "too_long")}
    twice = {**BANNER, "excludeAudienceIds": [ids[0], ids[0].upper()]}
    assert await api.problems("POST", "/in-app-messages", twice) == {("/excludeAudienceIds", "duplicate")}
    made = await api.data("POST", "/in-app-messages", {**BANNER, "audienceId": ids[20], "excludeAudienceIds": ids[:20]})
    assert made["excludeAudienceIds"] == ids[:20]


async def test_another_orgs_audience_is_not_found(api: Api) -> None:
    other = await api.new_org()
    theirs = (await other.data("POST", "/audiences", {"name": "Theirs"}))["id"]
    payload = {**BANNER, "audienceId": theirs, "excludeAudienceIds": [theirs], "trigger": {"audienceId": theirs}}
    problems = await api.problems("POST", "/in-app-messages", payload)
    assert {pointer for pointer, code in problems if code == "audience_not_found"} == {
        "/audienceId",
        "/excludeAudienceIds/0",
        "/trigger/audienceId",
    }


async def test_a_scheme_that_the_org_registered_may_be_linked_to(api: Api) -> None:
    await api.data("PATCH", "", {"appSchemes": ["acme"]})
    made = await api.data("POST", "/in-app-messages", content(ctaUrl="ACME://pricing?x=1"))
    assert made["content"]["ctaUrl"] == "ACME://pricing?x=1"


async def test_errors_never_repeat_what_was_sent(api: Api) -> None:
    secret = "s3cr3t-value"
    payload = {
        "type": secret,
        "content": {"body": 1, "ctaUrl": f"javascript:{secret}"},
        "priority": secret,
        "startsAt": secret,
        "slot": f"{secret} {secret}",
        "trigger": {"url": {"op": secret, "value": secret}},
        "audienceId": secret,
    }
    answer = await api.call("POST", "/in-app-messages", payload)
    assert answer.status_code == 422
    assert secret not in answer.text


async def test_hostile_bodies_are_refused_quickly_and_in_the_envelope(api: Api) -> None:
    path = f"/api/v1/orgs/{api.org.org_id}/in-app-messages"
    json_headers = {"X-API-Key": api.key, "Content-Type": "application/json"}
    nested = b'{"type":"banner","content":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}"
    surrogate = b'{"type":"banner","content":{"body":"\\ud800"}}'
    bodies = {
        b"{": (400, "invalid_json"),
        b'{"priority":NaN}': (400, "invalid_json"),
        surrogate: (400, "invalid_json"),
        b"[" * 100_000: (400, "invalid_json"),
        nested: (422, "invalid_payload"),
        b'{"a":"' + b"x" * 262_144 + b'"}': (413, "payload_too_large"),
        b"": (422, "invalid_payload"),
    }
    for body, (status, code) in bodies.items():
        answer = await api.client.post(path, content=body, headers=json_headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    made = await api.data("POST", "/in-app-messages", BANNER)
    answer = await api.client.patch(f"{path}/{made['id']}", content=nested, headers=json_headers)
    assert answer.status_code == 422
    answer = await api.client.post(path, content=b'{"type":"banner"}', headers={"X-API-Key": api.key})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")
