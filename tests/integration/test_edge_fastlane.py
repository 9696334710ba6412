"""The fast lane: the bytes of the framework's routes, and a connection that behaves as uvicorn's does."""

import asyncio
import gc
import json
import re
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from edge.app import http_app
from edge.fastlane import Fastlane
from edge.lane import Lane
from edge.people import People, Read, Who
from service.health import Health
from tests.support.edges import RunningEdge, edge_on
from tests.support.polling import eventually_async
from tests.support.publishing import ONCE, Publisher, message, rule
from tests.support.wire_http import Server, request, serving
from wire.userstate import UserState

pytestmark = pytest.mark.anyio

NOW_MS = 1_767_225_600_000
FETCH = "/api/v1/in-app-messages/fetch"
ACTIVE = "/api/v1/in-app-messages/active"
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
        yield {"fetch": parts.fetch, "track": parts.track, "lane": parts.lane}

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
        "get with a fragment": request("GET", f"{ACTIVE}?userId=ada#x", headers={"X-API-Key": key}),
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
        for _ in range(4):
            assert comparable(await fast.exchange(sent)) == comparable(await slow.exchange(sent)), name


async def test_a_head_that_came_before_says_nothing_about_the_body(org: Publisher, fast: Server, slow: Server) -> None:
    """What follows a known head is read anew: whoever it is about, however broken, in however many pieces."""
    await until_given(org, slow)
    known = post(FETCH, b'{"userId":"ada"}'.ljust(40), X_API_Key=org.key)
    head = known[:-40]
    for _ in range(3):
        await fast.exchange(known)
    for body in (
        b'{"userId":"bob","resolve":true}',
        b'{"userId":"new"}',
        b'{"userId":7,"resolve":1}',
        b'{"userId":"ada"',
        b'\r\n\r\n{"userId":"ada"}',
        b"[]",
    ):
        whole = head + body.ljust(40)
        expected = comparable(await slow.exchange(whole))
        for chunks in ([whole], [head, whole[-40:]], [whole[:-1], whole[-1:]], [whole + whole[:9], whole[9:]]):
            for _ in range(3):
                async with fast.connection() as connection:
                    for chunk in (known, *chunks):
                        connection.send(chunk)
                        await asyncio.sleep(0.001)
                    await connection.response()
                    assert comparable(await connection.response()) == expected, (body, chunks)


async def test_what_uvicorn_handles_may_take_longer_than_an_idle_connection_lives(
    edge: RunningEdge, org: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also behind an answer from memory, after which the connection was idle for no moment."""
    async with serving(app_of(edge), http=Fastlane, timeout_keep_alive=1) as server:
        await until_given(org, server)
        make_reads_wait(monkeypatch, lambda: asyncio.sleep(1.5))
        hot = post(FETCH, {"userId": "ada"}, X_API_Key=org.key)
        chunked = request("POST", FETCH, headers={"X-API-Key": org.key, "Transfer-Encoding": "chunked"})
        async with server.connection() as connection:
            connection.send(hot + chunked + b'10\r\n{"userId":"new"}\r\n0\r\n\r\n')
            for _ in range(2):
                assert (await connection.response()).startswith(b"HTTP/1.1 200 OK")


async def test_empty_lines_before_a_request_are_no_head(org: Publisher, fast: Server, slow: Server) -> None:
    """A server must pass over them (RFC 9112, 2.2)."""
    await until_given(org, slow)
    other = b"\r\n\r\n" + request("GET", "/healthz")
    for _ in range(3):
        first = b"\r\n\r\n" + post(FETCH, b"{}".ljust(len(other) - 4), X_API_Key=org.key)
        assert comparable(await fast.exchange(first)) == comparable(await slow.exchange(first))
        assert comparable(await fast.exchange(other)) == comparable(await slow.exchange(other))


async def test_a_head_that_came_before_proves_nothing_once_its_key_is_revoked(org: Publisher, fast: Server) -> None:
    await until_given(org, fast)
    for user in ("ada", "bob", "eve"):
        await fast.exchange(post(FETCH, {"userId": user}, X_API_Key=org.key))
    org.live_keys.clear()
    await org.publish()

    async def refused() -> bool:
        return b" 401 " in (await fast.exchange(post(FETCH, {"userId": "cyd"}, X_API_Key=org.key)))

    await eventually_async(refused)


def make_reads_wait(monkeypatch: pytest.MonkeyPatch, wait: Callable[[], Awaitable[object]]) -> None:
    """Whoever is not in memory is read only after that."""
    read = People.read

    async def read_slowly(people: People, who: Who, then: Callable[[Read | None], Any]) -> Any:
        await wait()
        return await read(people, who, then)

    monkeypatch.setattr(People, "read", read_slowly)


async def until_given(org: Publisher, server: Server) -> None:
    async def check() -> bool:
        return b'"messages":[{' in await server.exchange(post(FETCH, {"userId": "ada"}, X_API_Key=org.key))

    await eventually_async(check)


async def test_pipelined_answers_come_in_order_though_the_first_has_to_wait(
    org: Publisher, edge: RunningEdge, fast: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until_given(org, fast)
    gate = asyncio.Event()
    make_reads_wait(monkeypatch, gate.wait)
    slow, hot = (post(FETCH, {"userId": user}, X_API_Key=org.key, X_Request_Id=user) for user in ("new", "ada"))
    health = request("GET", "/healthz", headers={"X-Request-Id": "health"})
    async with fast.connection() as connection:
        connection.send(slow + hot + health + hot + slow[: len(slow) // 2])
        await eventually_async(lambda: equals_now(reads_on(fast), False))
        connection.send(slow[len(slow) // 2 :])
        gate.set()
        answers = [await connection.response() for _ in range(5)]
    assert [re.findall(rb"x-request-id: (\w+)", answer) for answer in answers] == [
        [b"new"], [b"ada"], [b"health"], [b"ada"], [b"new"]
    ]  # fmt: skip


def writes_on(server: Server) -> bool:
    """Whether there is room for more bytes to the server's one client."""
    connections: set[Any] = server.uvicorn.server_state.connections
    (protocol,) = connections
    return not protocol.flow.write_paused


def reads_on(server: Server) -> bool:
    """Whether the server still takes bytes from its one client."""
    connections: set[Any] = server.uvicorn.server_state.connections
    (protocol,) = connections
    return not protocol.flow.read_paused


async def test_a_request_that_comes_in_pieces_is_answered_like_a_whole_one(org: Publisher, fast: Server) -> None:
    await until_given(org, fast)
    whole = post(FETCH, {"userId": "ada"}, X_API_Key=org.key)
    expected = comparable(await fast.exchange(whole))
    async with fast.connection() as connection:
        for size in (1, 7, len(whole) - 1):
            for start in range(0, len(whole), size):
                connection.send(whole[start : start + size])
                await asyncio.sleep(0)
            assert comparable(await connection.response()) == expected


async def test_a_repeated_request_is_answered_anew_once_anything_changes(
    org: Publisher, edge: RunningEdge, fast: Server
) -> None:
    await until_given(org, fast)
    sent = post(FETCH, {"userId": "ada"}, X_API_Key=org.key)

    async def bodies() -> list[str]:
        data = json.loads((await fast.exchange(sent)).partition(b"\r\n\r\n")[2])["data"]
        return sorted(each["content"]["body"] for each in data["messages"])

    assert await bodies() == await bodies() == ["Far", "Free", "Hello", "Zwei ☃"]
    capped = next(each.id for each in org.bundles["everyone"].messages if each.cap)
    await edge.see(org, capped, userId="ada")
    assert await bodies() == ["Far", "Free", "Hello"]
    await org.project("u:ada", UserState(2, {"plan": "pro"}))
    await eventually_async(lambda: equals(bodies, ["Far", "Hello"]))
    org.everyone(message("New"))
    await org.publish()
    await eventually_async(lambda: equals(bodies, ["New"]))


async def test_a_repeated_request_is_given_a_text_that_was_edited_without_being_read_again(
    org: Publisher, edge: RunningEdge, fast: Server, slow: Server
) -> None:
    await until_given(org, fast)
    sent = post(FETCH, {"userId": "ada"}, X_API_Key=org.key)
    for _ in range(3):
        await fast.exchange(sent)
    hello, *others = org.bundles["everyone"].messages
    org.everyone(message("Edited", id_=hello.id, version=2), *others)
    manifest = await org.publish()

    async def is_served() -> bool:
        served = edge.parts.bundles.org(org.org_id)
        return served is not None and served.manifest.version == manifest.version

    await eventually_async(is_served)
    assert edge.parts.lane.answers.get(sent) is not None
    assert comparable(await fast.exchange(sent)) == comparable(await slow.exchange(sent))
    assert b'"body": "Edited"' in await fast.exchange(sent)


async def equals(read: Callable[[], Awaitable[list[str]]], expected: list[str]) -> bool:
    return await read() == expected


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(edge: RunningEdge, org: Publisher) -> None:
    async with serving(app_of(edge), http=Fastlane, timeout_keep_alive=1) as server:
        sent = post(FETCH, {"userId": "ada"}, X_API_Key=org.key)
        async with server.connection() as idle, server.connection() as busy:
            idle.send(sent)
            await idle.response()
            closing = asyncio.create_task(idle.end())
            while not closing.done():
                busy.send(sent)
                await busy.response()
                await asyncio.sleep(0.05)
            assert closing.result() == b""
            busy.send(sent)
            assert (await busy.response()).startswith(b"HTTP/1.1 200 OK")
            assert await busy.end() == b""


@pytest.mark.parametrize("pieces", [1, 50])
@pytest.mark.parametrize("path", [FETCH, "/healthz"])
async def test_a_head_of_more_than_64_kib_is_refused(fast: Server, path: str, pieces: int) -> None:
    head = request("POST", path, headers={"X-Pad": "x" * 66_000})
    async with fast.connection() as connection:
        for start in range(0, len(head), len(head) // pieces):
            connection.send(head[start : start + len(head) // pieces])
            await asyncio.sleep(0.001)
        assert (await connection.end()).startswith(b"HTTP/1.1 431 ")


async def test_fields_after_a_body_are_refused(org: Publisher, fast: Server) -> None:
    head = request("POST", FETCH, headers={"X-API-Key": org.key, "Transfer-Encoding": "chunked"})
    async with fast.connection() as connection:
        connection.send(head + b"2\r\n{}\r\n0\r\n" + b"x-late: 1\r\n\r\n")
        assert (await connection.end()).startswith(b"HTTP/1.1 400 ")


async def test_a_head_that_never_ends_is_refused(fast: Server) -> None:
    async with fast.connection() as connection:
        connection.send(b"POST / HTTP/1.1\r\n")
        for number in range(67):
            connection.send(b"x-%d: %b\r\n" % (number, b"y" * 1_000))
            await asyncio.sleep(0.001)
        assert (await connection.end()).startswith(b"HTTP/1.1 431 ")


async def test_a_reader_that_does_not_read_is_not_written_to_without_end(
    org: Publisher, edge: RunningEdge, fast: Server
) -> None:
    """Answers to what it has sent wait for it to read; it gets them all in the end."""
    org.everyone(*(message("x" * 2_000) for _ in range(50)))
    await org.publish()
    sent = post(FETCH, {"userId": "ada"}, X_API_Key=org.key)
    await eventually_async(lambda: is_longer(fast, sent, 100_000))
    number = 300
    async with fast.connection(limit=2**16) as connection:
        connection.writer.transport.set_write_buffer_limits(2**30)
        connection.send(sent * number)
        await eventually_async(lambda: equals_now(writes_on(fast), False))
        connections: set[Any] = fast.uvicorn.server_state.connections
        (protocol,) = connections
        assert protocol.transport.get_write_buffer_size() < 2**20
        answers = [await connection.response() for _ in range(number)]
    assert len({len(answer) for answer in answers}) == 1


async def is_longer(server: Server, sent: bytes, least: int) -> bool:
    return len(await server.exchange(sent)) > least


async def test_a_client_that_leaves_in_the_middle_does_no_harm(org: Publisher, fast: Server) -> None:
    whole = post(FETCH, {"userId": "ada"}, X_API_Key=org.key)
    for length in (10, len(whole) - 5, len(whole)):
        async with fast.connection() as connection:
            connection.send(whole[:length])
            await connection.writer.drain()
    await eventually_async(lambda: equals_now(fast.uvicorn.server_state.connections, set()))
    assert not fast.uvicorn.server_state.tasks
    assert (await fast.exchange(whole)).startswith(b"HTTP/1.1 200 OK")


async def test_a_connection_leaves_nothing_behind(org: Publisher, fast: Server) -> None:
    """Nothing that only a search for circles of references would find: that is made once an hour."""
    sent = post(FETCH, {"userId": "ada"}, X_API_Key=org.key)
    gc.collect()
    gc.disable()
    try:
        for requests_sent in (sent, sent * 3, sent[:-5], request("GET", "/healthz")):
            async with fast.connection() as connection:
                connection.send(requests_sent)
                await asyncio.sleep(0.05)
                (protocol,) = fast.uvicorn.server_state.connections
                left = weakref.ref(protocol)
                del protocol
            await eventually_async(lambda: equals_now(fast.uvicorn.server_state.connections, set()))
            await eventually_async(partial(has_gone, left))
    finally:
        gc.enable()


async def has_gone(left: weakref.ref[Any]) -> bool:
    return left() is None


async def equals_now(found: object, expected: object) -> bool:
    return found == expected


async def test_a_request_under_way_is_answered_when_the_server_is_told_to_stop(
    org: Publisher, edge: RunningEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()
    make_reads_wait(monkeypatch, gate.wait)
    async with (
        serving(app_of(edge), http=Fastlane) as server,
        server.connection() as idle,
        server.connection() as connection,
    ):
        idle.send(request("GET", "/healthz"))
        await idle.response()
        connection.send(post(FETCH, {"userId": "new"}, X_API_Key=org.key))
        await eventually_async(lambda: equals_now(len(server.uvicorn.server_state.tasks), 1))
        server.uvicorn.should_exit = True
        assert await idle.end() == b""
        gate.set()
        answer = await connection.response()
        assert answer.startswith(b"HTTP/1.1 200 OK") and b"connection: close" in answer
        assert await connection.end() == b""


async def test_every_answer_is_counted_under_its_route(org: Publisher, fast: Server) -> None:
    await until_given(org, fast)
    lane: Lane = fast.uvicorn.lifespan.state["lane"]
    requests = {
        ("POST", FETCH): post(FETCH, {"userId": "ada"}, X_API_Key=org.key),
        ("GET", ACTIVE): request("GET", f"{ACTIVE}?userId=ada", headers={"X-API-Key": org.key}),
    }
    lane.tally()
    before = {route: counted(*route) for route in requests}
    for sent in requests.values():
        for _ in range(3):
            await fast.exchange(sent)
    lane.tally()
    assert {route: counted(*route) - before[route] for route in requests} == dict.fromkeys(requests, 3)


def counted(method: str, route: str) -> float:
    labels = {"method": method, "route": route, "status": "200"}
    return REGISTRY.get_sample_value("inapp_http_requests_total", labels) or 0.0


async def test_what_breaks_inside_is_a_500_in_the_envelope(
    org: Publisher, edge: RunningEdge, fast: Server, slow: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    for module, path in (("edge.fetch", FETCH), ("edge.track", "/api/v1/events")):
        monkeypatch.setattr(f"{module}.read_json", broken)
        sent = post(path, {}, X_API_Key=org.key)
        with capture_logs() as logs:
            answer = comparable(await fast.exchange(sent))
            assert answer == comparable(await slow.exchange(sent))
        assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["request_failed"] * 2
        assert b" 500 " in answer and b'"internal_error"' in answer


async def test_an_answer_that_is_given_again_does_not_overtake_one_that_waits(
    org: Publisher, fast: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until_given(org, fast)
    hot, new = (post(FETCH, {"userId": user}, X_API_Key=org.key) for user in ("ada", "new"))
    for _ in range(3):
        expected = comparable(await fast.exchange(hot))
    gate = asyncio.Event()
    make_reads_wait(monkeypatch, gate.wait)
    async with fast.connection() as connection:
        connection.send(new)
        await asyncio.sleep(0.05)
        connection.send(hot)
        await asyncio.sleep(0.05)
        gate.set()
        answers = [comparable(await connection.response()) for _ in range(2)]
    assert answers[0] != expected and answers[1] == expected


async def test_two_requests_that_come_together_are_two_however_often_they_came(org: Publisher, fast: Server) -> None:
    await until_given(org, fast)
    one, other = (post(FETCH, {"userId": "ada", **more}, X_API_Key=org.key) for more in ({}, {"url": "nowhere"}))
    expected = [comparable(await fast.exchange(each)) for each in (one, other)]
    async with fast.connection() as connection:
        for _ in range(4):
            connection.send(one + other)
            answers = [comparable(await asyncio.wait_for(connection.response(), 2)) for _ in range(2)]
            assert answers == expected


async def test_an_answer_that_is_given_for_long_tells_anew_until_when_it_is_valid(
    redis_db: str, org: Publisher, tmp_path: Path
) -> None:
    moment = [NOW_MS]
    org.everyone(message("Brief", ends_ms=NOW_MS + 1_000_000))
    await org.publish()
    async with (
        edge_on(redis_db, tmp_path, now_ms=lambda: moment[0]) as edge,
        serving(app_of(edge), http=Fastlane) as fast,
        serving(app_of(edge), http="httptools") as slow,
    ):
        await until_given(org, slow)
        sent = post(FETCH, {"userId": "ada"}, X_API_Key=org.key)
        for _ in range(3):
            first = await fast.exchange(sent)
        moment[0] += 59_999
        assert comparable(await fast.exchange(sent)) == comparable(first) != comparable(await slow.exchange(sent))
        for later_ms in (60_000, 60_001, 200_000, 700_000, 939_999, 940_000, 999_999, 1_000_000):
            moment[0] = NOW_MS + later_ms
            lane: Lane = fast.uvicorn.lifespan.state["lane"]
            assert (lane.answers.get(sent) is not None) == (later_ms < 1_000_000)
            given, fresh = [
                json.loads((await each.exchange(sent)).partition(b"\r\n\r\n")[2])["data"] for each in (fast, slow)
            ]
            assert given["messages"] == fresh["messages"] and given["etag"] == fresh["etag"]
            assert (given["validUntil"] == fresh["validUntil"]) == (later_ms != 60_001)


async def test_an_answer_is_not_given_again_past_the_end_of_a_message(
    redis_db: str, org: Publisher, tmp_path: Path
) -> None:
    moment = [NOW_MS]
    org.everyone(message("Brief", ends_ms=NOW_MS + 1_000))
    await org.publish()
    async with (
        edge_on(redis_db, tmp_path, now_ms=lambda: moment[0]) as edge,
        serving(app_of(edge), http=Fastlane) as fast,
    ):
        sent = post(FETCH, {"userId": "ada"}, X_API_Key=org.key)

        async def is_given() -> bool:
            return b"Brief" in await fast.exchange(sent)

        await eventually_async(is_given)
        for _ in range(3):
            assert await is_given()
        moment[0] += 1_000
        assert not await is_given()
