"""The edge's HTTP side: bad input, CORS, limits, documentation."""

import json
from importlib.metadata import version

import httpx
import pytest

from service.openapi import DISTRIBUTION
from tests.support.edges import RunningEdge
from tests.support.openapi import body_example, operations
from tests.support.publishing import Publisher, message

pytestmark = pytest.mark.anyio

FETCH = "/api/v1/in-app-messages/fetch"
POSTS = [
    FETCH,
    "/api/v1/events",
    "/api/v1/events/batch",
    "/api/v1/in-app-messages/00000000-0000-7000-8000-000000000000/impressions",
]


@pytest.fixture
async def org(org: Publisher) -> Publisher:
    org.everyone(message())
    await org.publish()
    return org


def code(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert body["success"] is False
    assert body["error"]["requestId"] == answer.headers["X-Request-Id"]
    return answer.status_code, body["error"]["code"]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "text/plain;charset=UTF-8", ""])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b"\xff", b'{"a":NaN}', b"[" * 30_000, b'{"a":1}{}', b"\xff\xfe{\x00}\x00"]
)
async def test_what_is_not_json_is_a_400(
    org: Publisher, edge: RunningEdge, path: str, content_type: str, body: bytes
) -> None:
    headers = {"X-API-Key": org.key, "Content-Type": content_type}
    answer = await edge.http.post(path, content=body, headers=headers)
    assert code(answer) == (400, "invalid_json")


async def test_every_post_takes_json_as_text_with_the_key_inside(org: Publisher, edge: RunningEdge) -> None:
    for path in POSTS:
        body = json.dumps(org.body(userId="ada", eventType="a", events=[]))
        for content_type in ("application/json", "text/plain;charset=UTF-8"):
            answer = await edge.http.post(path, content=body, headers={"Content-Type": content_type})
            assert answer.status_code == 200, (path, answer.text)
            assert answer.headers["Content-Type"] == "application/json"
            assert answer.headers["Cache-Control"] == "no-store"


async def test_bodies_have_a_limit_and_batches_a_larger_one(org: Publisher, edge: RunningEdge) -> None:
    def padded(size: int) -> bytes:
        start = b'{"apiKey":"%b","events":[],"userId":"ada","eventType":"a","pad":"' % org.key.encode()
        return start + b"x" * (size - len(start) - 2) + b'"}'

    for path in POSTS:
        limit = 512 * 1024 if path.endswith("batch") else 64 * 1024
        assert (await edge.http.post(path, content=padded(limit))).status_code == 200
        assert code(await edge.http.post(path, content=padded(limit + 1))) == (413, "payload_too_large")


async def test_all_that_is_wrong_with_a_fetch_is_said_at_once(org: Publisher, edge: RunningEdge) -> None:
    answer = await edge.http.post(FETCH, json={"userId": 1, "traits": []}, headers={"X-API-Key": org.key})
    assert code(answer) == (422, "invalid_payload")
    assert [each["pointer"] for each in answer.json()["error"]["details"]] == ["/userId", "/traits"]


@pytest.mark.parametrize("events", [None, {}, "x", [{}] * 1001])
async def test_a_batch_without_a_sound_list_is_refused(org: Publisher, edge: RunningEdge, events: object) -> None:
    answer = await edge.http.post("/api/v1/events/batch", json={"events": events}, headers={"X-API-Key": org.key})
    assert code(answer) == (422, "invalid_payload")
    assert answer.json()["error"]["details"][0]["pointer"] == "/events"


async def test_a_thousand_events_are_taken_and_a_single_bad_one_is_listed(org: Publisher, edge: RunningEdge) -> None:
    many = [{"eventType": "a", "userId": str(number)} for number in range(1000)]
    answer = await edge.http.post("/api/v1/events/batch", json=org.body(events=many))
    assert answer.json()["data"] == {"accepted": 1000, "rejected": []}
    for body in ([1], {"userId": "ada"}):
        answer = await edge.http.post("/api/v1/events", json=body, headers={"X-API-Key": org.key})
        assert answer.status_code == 200
        data = answer.json()["data"]
        assert (data["accepted"], data["rejected"][0]["index"]) == (0, 0)


async def test_any_origin_may_read_every_answer(org: Publisher, edge: RunningEdge) -> None:
    origin = {"Origin": "https://app.example.com"}
    answers = [
        await edge.http.post(FETCH, json=org.body(), headers=origin),
        await edge.http.post(FETCH, json={}, headers=origin),
        await edge.http.post(FETCH, content=b"{", headers=origin),
        await edge.http.post(FETCH, content=b"x" * 70_000, headers=origin),
        await edge.http.get("/api/v1/nowhere", headers=origin),
        await edge.http.delete(FETCH, headers=origin),
        await edge.http.get("/healthz", headers=origin),
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 400, 413, 404, 405, 200]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_preflight_is_answered_and_may_be_remembered(edge: RunningEdge) -> None:
    asked = {
        "Origin": "https://app.example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-api-key",
    }
    for path in POSTS:
        answer = await edge.http.options(path, headers=asked)
        assert answer.status_code == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        allowed = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
        assert {"content-type", "x-api-key", "authorization"} <= allowed
        assert int(answer.headers["Access-Control-Max-Age"]) >= 600


async def test_a_get_gives_what_a_post_gives(org: Publisher, edge: RunningEdge) -> None:
    query = {"apiKey": org.key, "userId": "ada", "traits": '{"plan":"gold"}', "resolve": "true", "event": "a.b"}
    got = (await edge.http.get("/api/v1/in-app-messages/active", params=query)).json()["data"]
    assert got["messages"] == (await edge.fetch(org, userId="ada"))["messages"]
    bad = await edge.http.get("/api/v1/in-app-messages/active", params={**query, "traits": "{"})
    assert code(bad) == (422, "invalid_payload")


async def test_health_and_metrics_tell_what_is_going_on(org: Publisher, edge: RunningEdge) -> None:
    await edge.track(org, "a", userId="ada")
    await edge.fetch(org, userId="ada")
    ready = await edge.http.get("/readyz")
    assert ready.status_code == 200
    checks = ready.json()["checks"]
    assert (
        checks["redis"]["reachable"] and checks["bundles"]["orgs"] == 1 and checks["bundles"]["secondsSincePoll"] < 60
    )
    assert checks["spool"]["ok"]
    metrics = (await edge.http.get("/metrics")).text
    for name in ("inapp_edge_events_accepted_total", "inapp_edge_spooled_bytes", "inapp_edge_oldest_unshipped_seconds"):
        assert f"\n{name} " in metrics
    assert "\ninapp_edge_user_cache_entries 1.0\n" in metrics


async def test_every_route_is_documented(edge: RunningEdge) -> None:
    document = (await edge.http.get("/openapi.json")).json()
    assert document["info"]["version"] == version(DISTRIBUTION)
    assert set(document["components"]["securitySchemes"]) == {"apiKey", "bearer"}
    told = [operation.spec["description"] for operation in operations(document)]
    assert len(told) == len(set(told)) == 7
    assert all(text.endswith(".") for text in told)


async def test_the_examples_of_every_route_are_what_it_takes_and_gives(org: Publisher, edge: RunningEdge) -> None:
    document = (await edge.http.get("/openapi.json")).json()
    for operation in operations(document):
        parameters = {each["name"]: each for each in operation.spec.get("parameters", [])}
        path = operation.path
        if "message_id" in parameters:
            path = path.replace("{message_id}", parameters["message_id"]["schema"]["examples"][0])
        query = {name: each["example"] for name, each in parameters.items() if each["in"] == "query"}
        body = {"json": body_example(operation, document)} if "requestBody" in operation.spec else {}
        for given in (query, *body.values()):
            if given:
                given["apiKey"] = org.key
        answer = await edge.http.request(operation.method, path, params=query, **body)
        assert answer.status_code == 200, answer.text
        example = operation.spec["responses"]["200"]["content"]["application/json"]["example"]
        if "messages" in example["data"]:
            assert answer.json()["data"].keys() == example["data"].keys()
        else:
            assert answer.json() == example
