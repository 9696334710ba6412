"""The fast lane: the bytes of the framework's routes, and a connection that behaves as uvicorn's does."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from edge.app import http_app
from edge.fastlane import Fastlane
from edge.lane import Lane
from service.health import Health
from tests.support.edges import RunningEdge, edge_on
from tests.support.polling import eventually_async
from tests.support.publishing import ONCE, Publisher, message, rule
from tests.support.wire_http import Server, request, serving
from wire.userstate import UserState

pytestmark = pytest.mark.anyio

NOW_MS = 1_767_225_600_000
FETCH = "/api/v1/in-app-messages/fetch"
MESSAGE_ID = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
async def edge(redis_db: str, tmp_path: Path) -> AsyncIterator[RunningEdge]:
    async with edge_on(redis_db, tmp_path, now_ms=lambda: NOW_MS) as edge:
        yield edge


@pytest.fixture
async def org(org: Publisher) -> Publisher:
    org.everyone(message(), message("Zwei ☃", cap=ONCE), message("Far", trigger={"url": {"op": "eq", "value": "x"}}))
    org.audience(rule("plan", "free"), message("Free"))
    await org.publish()
    await org.project("u:ada", UserState(1, {"plan": "free"}))
    return org


@pytest.fixture
async def fast(edge: RunningEdge) -> AsyncIterator[Server]:
    async with serving(app_of(edge), http=Fastlane) as server:
        yield server


@pytest.fixture
async def slow(edge: RunningEdge) -> AsyncIterator[Server]:
    async with serving(app_of(edge), http="httptools") as server:
        yield server


def app_of(edge: RunningEdge) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        parts = edge.parts
        yield {"fetch": parts.fetch, "track": parts.track, "lane": Lane(parts.fetch, parts.track)}

    return http_app(Health(), lifespan)


def post(path: str, body: Any, **headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return request("POST", path, content, {name.replace("_", "-"): value for name, value in headers.items()})


def comparable(response: bytes) -> bytes:
    """Without what differs each time."""
    response = re.sub(rb"date: [^\r]*", b"date: *", response)
    return re.sub(rb'(x-request-id: |"requestId":")[0-9a-f]{32}', rb"\1*", response)


def requests(org: Publisher) -> dict[str, bytes]:
    key, who = org.key, {"userId": "ada", "anonymousId": "x"}
    event = {**who, "eventType": "a.b", "id": "1", "timestamp": NOW_MS}
    return {
        "fetch": post(FETCH, who, X_API_Key=key),
        "key in the body": post(FETCH, org.body(**who)),
        "key as bearer": post(FETCH, who, Authorization=f"Bearer {key}"),
        "key in the query": post(f"{FETCH}?apiKey={key}", who),
        "nobody": post(FETCH, {}, X_API_Key=key),
        "resolved": post(FETCH, {**who, "resolve": True, "url": "x"}, X_API_Key=key),
        "request traits": post(FETCH, {"userId": "bob", "traits": {"plan": "free"}}, X_API_Key=key),
        "own request id": post(FETCH, who, X_API_Key=key, X_Request_Id="mine-1"),
        "odd request id": post(FETCH, who, X_API_Key=key, X_Request_Id="not sane"),
        "closing": post(FETCH, who, X_API_Key=key, Connection="close"),
        "no key": post(FETCH, who),
        "no such key": post(FETCH, who, X_API_Key=key[:-1] + ("a" if key[-1] != "a" else "b")),
        "secret key": post(FETCH, who, X_API_Key=org.secret_key),
        "no json": post(FETCH, b"{", X_API_Key=key),
        "problems": post(FETCH, {"userId": 1, "traits": []}, X_API_Key=key),
        "empty": post(FETCH, b"", X_API_Key=key),
        "at the limit": post(FETCH, b'{"pad":"%b"}' % (b"x" * (64 * 1024 - 10)), X_API_Key=key),
        "too large": post(FETCH, b'{"pad":"%b"}' % (b"x" * 64 * 1024), X_API_Key=key),
        "chunked": request("POST", FETCH, headers={"X-API-Key": key, "Transfer-Encoding": "chunked"})
        + b'10\r\n{"userId":"ada"}\r\n0\r\n\r\n',
        "twice the same field": request("POST", FETCH, b"{}", {"X-API-Key": key, "x-api-key": "other"}),
        "get": request("GET", f"/api/v1/in-app-messages/active?userId=ada&apiKey={key}&url=a%20b"),
        "get with problems": request("GET", "/api/v1/in-app-messages/active?traits=x", headers={"X-API-Key": key}),
        "event": post("/api/v1/events", event, X_API_Key=key),
        "bad event": post("/api/v1/events", {}, X_API_Key=key),
        "batch": post("/api/v1/events/batch", {"events": [event, {}]}, X_API_Key=key),
        "large batch": post("/api/v1/events/batch", {"events": [event] * 1000}, X_API_Key=key),
        "no batch": post("/api/v1/events/batch", {"events": 1}, X_API_Key=key),
        "impression": post(f"/api/v1/in-app-messages/{MESSAGE_ID}/impressions", who, X_API_Key=key),
        "impression of nothing": post("/api/v1/in-app-messages/nonsense/clicks", who, X_API_Key=key),
        "no such action": post(f"/api/v1/in-app-messages/{MESSAGE_ID}/shares", who, X_API_Key=key),
        "wrong method": request("PUT", FETCH, b"{}", {"X-API-Key": key}),
        "preflight": request("OPTIONS", FETCH, headers={"Origin": "x", "Access-Control-Request-Method": "POST"}),
        "elsewhere": request("GET", "/healthz"),
    }


async def test_both_ways_give_the_same_bytes(org: Publisher, fast: Server, slow: Server) -> None:
    await until_given(org, slow)
    for name, sent in requests(org).items():
        for _ in range(2):
            assert comparable(await fast.exchange(sent)) == comparable(await slow.exchange(sent)), name


async def until_given(org: Publisher, server: Server) -> None:
    async def check() -> bool:
        return b'"messages":[{' in await server.exchange(post(FETCH, {"userId": "ada"}, X_API_Key=org.key))

    await eventually_async(check)
